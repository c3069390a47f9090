"""Views of a network: its filters, its feature maps, pictures that maximize classes and channels, and embeddings of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.core.tables import csv_text
from striate.data.records import ImageSet
from striate.drawing.pictures import Scale, montage
from striate.drawing.style import SMALL, beside, colour_bar, drawing, fitted, look, name_ticks, panels, png_bytes, short_name
from striate.insight import explain as tools
from striate.workflows.explanation.page import Shown, shaded

View = Literal["filters", "maps", "classes", "channels", "units", "by_class", "pca", "tsne", "umap"]
VIEWS: tuple[View, ...] = get_args(View)
MOST = 64  # filters or maps drawn
MOST_CLASSES = 20
CHANNELS, TOP = 8, 6  # whose favourite, or most exciting, pictures are drawn, and how many of the latter


class Viewed(NamedTuple):
    """The subject of the views."""

    classes: tuple[str, ...]
    network: nn.Module
    layer: str
    names: list[str]
    inputs: Tensor  # (N, C, H, W) normalized
    from_unit: Callable[[Tensor], Tensor]  # (N, C, H, W) in [0, 1] -> normalized
    seed: int


def draw_view(view: View, viewed: Viewed, read: Callable[[], tuple[ImageSet, Tensor]]) -> list[Shown]:
    """The files of one view; `read` gives a split and the network's input for it."""
    if view == "filters":
        return _filters(viewed)
    if view == "maps":
        return _maps(viewed)
    if view == "classes":
        return _favourites(viewed, of_channels=False)
    if view == "channels":
        return _favourites(viewed, of_channels=True)
    if view == "units":
        return _units(viewed, *read())
    if view == "by_class":
        return _by_class(viewed, *read())
    return _layout(view, viewed, *read())


def _filters(viewed: Viewed) -> list[Shown]:
    found = tools.convolutions(viewed.network)
    if not found:
        raise UsageError("filters: the network has no two-dimensional convolution", "Leave `views=('filters',)` out.")
    first, *_ = found
    weight = found[first].weight.detach().cpu()
    pictures = (255 * tools.kernel_pictures(weight)).round().byte().permute(0, 2, 3, 1).numpy()  # (K, k_h, k_w, C)
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
    return [Shown("filters.png", heading, drawn, told), *table, Shown("norms.png", "Norms of all kernels", _norms(found))]


def _norms(found: dict[str, nn.Conv2d]) -> bytes:
    """The norms of the kernels of at most 16 convolutions, output channel by input channel."""
    places = np.linspace(0, len(found) - 1, min(16, len(found))).round().astype(int)
    names = [list(found)[place] for place in places]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    with drawing():
        from matplotlib.ticker import MaxNLocator

        some = f" of {len(names)} of {len(found)} convolutions" if len(names) < len(found) else ""
        size = (max(3.1 * columns, 5.4), 2.7 * rows + 0.5)
        figure, grid = panels(rows, columns, size=size, title=f"Norms of the kernels{some}, each between two channels (L2)")
        grid = grid.ravel()
        for axes in grid:
            axes.axis("off")
        for axes, name in zip(grid, names, strict=False):
            norms = tools.kernel_norms(found[name].weight).cpu().numpy()
            axes.axis("on")
            image = axes.imshow(norms, aspect="auto", cmap="viridis", vmin=0, interpolation="nearest")
            colour_bar(figure, image, axes, "norm")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
            axes.set(xlabel="input channel", ylabel="output channel")
            axes.set_title(fitted(f"{name}\n{norms.shape[1]} in, {norms.shape[0]} out", 2.3, SMALL), fontsize=SMALL, parse_math=False)
        return png_bytes(figure)


def _maps(viewed: Viewed) -> list[Shown]:
    maps = tools.maps_of(viewed.network, tools.part(viewed.network, viewed.layer), viewed.inputs[:1])
    values = maps[0, :MOST].abs().cpu().numpy()
    cells = np.stack([shaded(channel) for channel in values])
    heading = f"Feature maps of {viewed.layer} for {viewed.names[0]}"
    some = f"\nthe first {MOST} of {maps.shape[1]} channels" if maps.shape[1] > MOST else ""
    captions = [f"channel {channel}\nup to {value:.3g}" for channel, value in enumerate(values.max((1, 2)))]
    drawn = montage(cells, captions, title=heading + some, scales=[Scale("inferno", "0", "maximum of the map")])
    return [Shown("maps.png", heading, drawn, "Absolute values, each map by its own largest.")]


def _favourites(viewed: Viewed, *, of_channels: bool) -> list[Shown]:
    """Pictures made for the classes, or for the channels of the layer."""
    _, channels, height, width = viewed.inputs.shape
    layer = tools.part(viewed.network, viewed.layer) if of_channels else None
    chosen, names = [*range(len(viewed.classes))][:MOST_CLASSES], [short_name(name) for name in viewed.classes]
    if layer is not None:
        means = tools.maps_of(viewed.network, layer, viewed.inputs).mean((0, 2, 3))  # (C,)
        chosen = means.argsort(descending=True)[:CHANNELS].tolist()
        names = [f"channel {channel}" for channel in range(len(means))]
    pictures = torch.cat(
        [
            tools.favourite_pictures(viewed.network, units, viewed.from_unit, (channels, height, width), layer=layer, seed=viewed.seed)
            for units in (chosen[start : start + 10] for start in range(0, len(chosen), 10))
        ]
    )
    cells = (255 * pictures).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    heading = "Pictures that maximize each class"
    if layer is not None:
        heading = f"Pictures that maximize each channel of {viewed.layer}"
    some = f" Shown are {len(chosen)} of {len(names)}"
    some += ", those that the given pictures activate most." if layer is not None else ", the first."
    text = f"Made by gradient ascent from grey noise.{some if len(chosen) < len(names) else ''}"
    name = "classes.png" if layer is None else "channels.png"
    return [Shown(name, heading, montage(cells, [names[unit] for unit in chosen], title=heading), text)]


def _units(viewed: Viewed, split: ImageSet, inputs: Tensor) -> list[Shown]:
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


def _by_class(viewed: Viewed, split: ImageSet, inputs: Tensor) -> list[Shown]:
    labels = torch.from_numpy(split.labels)
    layer = tools.part(viewed.network, viewed.layer)
    means = tools.responses_by_class(viewed.network, layer, inputs, labels, len(split.classes)).cpu().numpy()  # (K, C)
    rows = [[name, *(f"{value:.6g}" for value in row)] for name, row in zip(split.classes, means, strict=True)]
    text = csv_text(["class", *range(means.shape[1])], rows).encode()
    heading = f"Mean output of each channel of {viewed.layer} by class"
    high = max(0.15 * len(means), 1.2) if len(means) <= 60 else 9.0  # inches
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(9.0, high + 1.4), title=heading)
        order = np.argsort(np.where(np.isnan(means), -np.inf, means).argmax(0), kind="stable")  # channels beside their class
        reach = float(np.nanmax(np.abs(means))) or 1.0
        low, colours = (-reach, "RdBu_r") if np.nanmin(means) < 0 else (0.0, "viridis")  # of outputs that have a sign, and that have none
        image = axes.imshow(means[:, order], aspect="auto", cmap=colours, vmin=low, vmax=reach, interpolation="nearest")
        axes.set(xlabel="number of the channel, in the order of the class that it responds to most", ylabel="class of the pictures")
        name_ticks(axes.xaxis, [str(channel) for channel in order], 6.4)
        name_ticks(axes.yaxis, split.classes, high)
        colour_bar(figure, image, axes, "mean output")
        picture = png_bytes(figure)
    return [Shown("by-class.png", heading, picture), Shown("by-class.csv", heading, text)]


def _layout(method: tools.Embedding, viewed: Viewed, split: ImageSet, inputs: Tensor) -> list[Shown]:
    found = torch.cat([tools.features(viewed.network, part) for part in torch.split(inputs, 128)]).cpu().numpy()
    places = tools.embedded(found, method, seed=viewed.seed)
    names = {"pca": "principal components", "tsne": "t-SNE", "umap": "UMAP"}
    axis_names = {"pca": "principal component", "tsne": "t-SNE coordinate (no unit)", "umap": "UMAP coordinate (no unit)"}
    heading = f"{len(split):,} pictures as the classifier reads them, by {names[method]}"
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(8.4, 5.5), title=heading)
        for k, name in enumerate(split.classes):
            chosen, kind = split.labels == k, look(k)
            if chosen.any():
                axes.scatter(
                    places[chosen, 0], places[chosen, 1], s=12, color=kind["color"], marker=kind["marker"], label=name, linewidths=0
                )
        beside(axes)
        axes.set(xticks=[], yticks=[], xlabel=f"first {axis_names[method]}", ylabel=f"second {axis_names[method]}")
        picture = png_bytes(figure)
    rows = [[path, split.classes[k], f"{x:.6g}", f"{y:.6g}"] for path, k, (x, y) in zip(split.paths, split.labels, places, strict=True)]
    table = csv_text(["path", "class", "x", "y"], rows).encode()
    return [Shown(f"{method}.png", heading, picture), Shown(f"{method}.csv", heading, table)]
