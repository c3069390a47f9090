"""The drawing of each view: of the network itself, or of what it makes of the pictures of a split."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.core.tables import csv_text
from striate.data.records import ImageSet
from striate.drawing.learned import layout_picture, means_picture, norms_picture
from striate.drawing.pictures import Scale, montage
from striate.drawing.style import short_name
from striate.insight import explain as tools
from striate.models.activations import activations_of
from striate.workflows.explanation.choosing import spread
from striate.workflows.explanation.page import Shown, shaded

if TYPE_CHECKING:
    from striate.workflows.explanation.views import Viewed

MOST = 64  # filters or maps drawn
MOST_CLASSES = 20
CHANNELS, TOP = 8, 6  # whose favourite, or most exciting, pictures are drawn, and how many of the latter


def filters(viewed: Viewed) -> list[Shown]:
    """The kernels of the first convolution with their directions, and the norms of all."""
    found = tools.convolutions(viewed.network)
    if not found:
        raise UsageError("filters: the network has no two-dimensional convolution", "Leave `views=('filters',)` out.")
    first, *_ = found
    weight = found[first].weight.detach().cpu()
    pictures = as_bytes(tools.kernel_pictures(weight))  # (K, k_h, k_w, C)
    captions, table = [f"{k}" for k in range(len(weight))], []
    if min(weight.shape[2:]) > 1:
        chosen = tools.edge_selectivity(weight)
        captions = [
            f"{k}: {angle:.0f}°\nselectivity {index:.2f}"
            for k, (angle, index) in enumerate(zip(chosen.angle, chosen.strength, strict=True))
        ]
        rows = [[k, f"{chosen.angle[k]:.1f}", f"{chosen.strength[k]:.4f}"] for k in range(len(weight))]
        text = csv_text(["filter", "angle_degrees", "selectivity"], rows).encode()
        table = [Shown("filters.csv", "Directions of the filters", text)]
    heading = f"Filters of {first}"
    shown = heading if len(pictures) <= MOST else f"{heading}: the first {MOST} of {len(pictures)}"
    drawn = montage(pictures[:MOST], captions[:MOST], title=f"{shown}\nwith the direction of the edge that each responds to most")
    told = (
        "Each scaled by its own largest weight; grey is 0. Below it the direction of the edge that it responds to most (0° horizontal, 90° "
        "vertical), and its selectivity: 0 responds to all directions alike, 1 to one only."
    )
    return [
        Shown("filters.png", heading, drawn, told),
        *table,
        Shown("norms.png", "Norms of all kernels", norms_picture(_some_norms(found), len(found))),
    ]


def _some_norms(found: dict[str, nn.Conv2d]) -> dict[str, np.ndarray]:
    """The norms of the kernels of at most 16 convolutions, output channel by input channel."""
    names = [list(found)[place] for place in spread(len(found), 16)]
    return {name: tools.kernel_norms(found[name].weight).cpu().numpy() for name in names}


def maps(viewed: Viewed) -> list[Shown]:
    """The channels of the layer for the first picture."""
    maps = tools.maps_of(viewed.network, tools.part(viewed.network, viewed.layer), viewed.inputs[:1])
    values = maps[0, :MOST].abs().cpu().numpy()
    cells = np.stack([shaded(channel) for channel in values])
    heading = f"Feature maps of {viewed.layer} for {viewed.names[0]}"
    some = f"\nthe first {MOST} of {maps.shape[1]} channels" if maps.shape[1] > MOST else ""
    captions = [f"channel {channel}\nup to {value:.3g}" for channel, value in enumerate(values.max((1, 2)))]
    drawn = montage(cells, captions, title=heading + some, scales=[Scale("inferno", "0", "maximum of the map")])
    return [Shown("maps.png", heading, drawn, "Absolute values, each map by its own largest.")]


def activations(viewed: Viewed) -> list[Shown]:
    """The output of every part for the first picture, in an archive of NumPy; what several parts give is under the innermost of them."""
    stream, arrays, written = io.BytesIO(), dict[str, np.ndarray](), set[int]()
    for path, output in activations_of(viewed.network, viewed.inputs[:1]).items():
        if id(output) not in written:
            written.add(id(output))
            arrays[path] = output.cpu().numpy()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # no path is one of its own arguments
    return [Shown("activations.npz", f"Outputs of all {len(arrays)} parts for {viewed.names[0]}", stream.getvalue())]


def of_classes(viewed: Viewed) -> list[Shown]:
    """Pictures made for the classes."""
    names, heading = [short_name(name) for name in viewed.classes], "Pictures that maximize each class"
    return _made("classes.png", heading, viewed, [*range(len(names))][:MOST_CLASSES], names, "the first")


def of_channels(viewed: Viewed) -> list[Shown]:
    """Pictures made for the channels of the layer."""
    layer = tools.part(viewed.network, viewed.layer)
    means = tools.maps_of(viewed.network, layer, viewed.inputs).mean((0, 2, 3))  # (C,)
    chosen, names = means.argsort(descending=True)[:CHANNELS].tolist(), [f"channel {channel}" for channel in range(len(means))]
    heading = f"Pictures that maximize each channel of {viewed.layer}"
    return _made("channels.png", heading, viewed, chosen, names, "those that the given pictures activate most", layer)


def _made(  # all but the first are of one view
    file: str, heading: str, viewed: Viewed, chosen: list[int], names: list[str], which: str, layer: nn.Module | None = None
) -> list[Shown]:
    """Pictures that maximize the `chosen` of the units that `names` name."""
    pictures = [
        tools.favourite_pictures(viewed.network, chosen[at : at + 10], viewed.from_unit, viewed.extent, layer=layer, seed=viewed.seed)
        for at in range(0, len(chosen), 10)
    ]
    drawn = montage(as_bytes(torch.cat(pictures)), [names[unit] for unit in chosen], title=heading)
    some = f" Shown are {len(chosen)} of {len(names)}, {which}." if len(chosen) < len(names) else ""
    return [Shown(file, heading, drawn, f"Made by gradient ascent from grey noise.{some}")]


def as_bytes(pictures: Tensor) -> np.ndarray:
    """(N, C, H, W) in [0, 1] as uint8 (N, H, W, C)."""
    return (255 * pictures).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def units(viewed: Viewed, split: ImageSet, inputs: Tensor) -> list[Shown]:
    """The pictures of the split that activate channels most."""
    layer = tools.part(viewed.network, viewed.layer)
    found = tools.most_exciting(viewed.network, layer, inputs, top=TOP)
    strongest = (found.values[:, 0] - found.usual).argsort(descending=True)[:CHANNELS].tolist()  # where all saturate, what tells apart
    cells, captions = [], []
    for channel in strongest:
        places = found.images[channel].cpu()
        maps = tools.maps_of(viewed.network, layer, inputs[places.to(inputs.device)])[:, channel]
        heats = tools.on_images(maps, (inputs.shape[2], inputs.shape[3])).cpu().numpy()
        for place, heat, value in zip(places.tolist(), heats, found.values[channel].tolist(), strict=True):
            picture = split.images[place]
            cells.append(shaded(heat, picture if picture.shape[2] == 3 else picture.mean(2, keepdims=True)))
            captions.append(
                f"channel {channel}: {value:.3g}\nusual {found.usual[channel]:.3g}\nis {short_name(split.classes[split.labels[place]])}"
            )
    heading = f"Pictures that activate channels of {viewed.layer} most"
    told = "\nchannels that rise most over their usual value, the median of all pictures"
    columns = min(TOP, len(split))
    return [
        Shown(
            "units.png",
            heading,
            montage(
                np.stack(cells),
                captions,
                title=heading + told,
                columns=columns,
                scales=[Scale("turbo", "least", "most", "the channel responds:")],
            ),
            "Colour: where the channel responds, red most. The usual value is the median over all pictures.",
        )
    ]


def by_class(viewed: Viewed, split: ImageSet, inputs: Tensor) -> list[Shown]:
    """The mean output of each channel for each class."""
    labels = torch.from_numpy(split.labels)
    layer = tools.part(viewed.network, viewed.layer)
    means = tools.responses_by_class(viewed.network, layer, inputs, labels, len(split.classes)).cpu().numpy()  # (K, C)
    rows = [[name, *(f"{value:.6g}" for value in row)] for name, row in zip(split.classes, means, strict=True)]
    text = csv_text(["class", *range(means.shape[1])], rows).encode()
    heading = f"Mean output of each channel of {viewed.layer} by class"
    picture = means_picture(means, split.classes, heading)
    return [Shown("by-class.png", heading, picture), Shown("by-class.csv", heading, text)]


def layout(viewed: Viewed, split: ImageSet, inputs: Tensor, method: tools.Embedding) -> list[Shown]:
    """The pictures of the split at places that are near where their features are."""
    found = torch.cat([tools.features(viewed.network, part) for part in torch.split(inputs, 128)]).cpu().numpy()
    places = tools.embedded(found, method, seed=viewed.seed)
    picture, heading = layout_picture(places, split.labels, split.classes, method)
    rows = [[path, split.classes[k], f"{x:.6g}", f"{y:.6g}"] for path, k, (x, y) in zip(split.paths, split.labels, places, strict=True)]
    table = csv_text(["path", "class", "x", "y"], rows).encode()
    return [Shown(f"{method}.png", heading, picture), Shown(f"{method}.csv", heading, table)]
