"""What holds of every picture, usual, empty and crowded: a title, named axes, all text inside and apart, no legend over the data.

The pictures are of made-up records; nothing is trained.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from torch import nn

from striate.demos.shown import Setting
from striate.demos.som import draw_digits
from striate.drawing.attacks import Resistance, accuracy_curves, fooled_picture
from striate.drawing.curves import bands_picture, curves_picture
from striate.drawing.pictures import confusion_picture, mistakes_picture, montage, predictions_picture
from striate.drawing.style import COLOURS, curve, drawing, look, panels, png_bytes, powers
from striate.engine.lr_range import LearningRateRange
from striate.estimators.maps.som import SelfOrganizingMap
from striate.insight.calibrate.abstain import CoveragePoint
from striate.insight.calibrate.temperature import Bin
from striate.insight.diagnose import LayerSample, Sample
from striate.insight.profile.machine import Machine
from striate.workflows.ablation.lesion import LesionPoint, LesionReport, lesion_picture
from striate.workflows.ablation.report import ablation_picture
from striate.workflows.diagnosis.evidence import gradient_evidence, shares_evidence
from striate.workflows.evaluation.reliability import Reliability, reliability_picture
from striate.workflows.explanation.views import Viewed, draw_view
from striate.workflows.profiling.roofline import roofline_picture
from striate.workflows.tasks.overlays import overlays_picture
from striate.workflows.tasks.scatter import scatter_picture
from striate.workflows.training.lr_find import range_picture

Picture = Callable[[], bytes | None]
LONG = "American Staffordshire terrier, blue, photographed at dusk $x_1$ "
RANDOM = np.random.default_rng(0)


def names(count: int, *, long: bool = False) -> list[str]:
    return [f"{LONG if long else 'class '}{k}" for k in range(count)]


def epochs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": e,
            "train_loss": 2.3 / e,
            "val_loss": 2.5 / e**0.5,
            "train_accuracy": 1 - 0.7 / e,
            "val_accuracy": 1 - 0.8 / e,
            "learning_rate": 0.1 / e,
        }
        for e in range(1, count + 1)
    ]


def confusion(count: int, *, long: bool = False, empty: bool = False) -> bytes:
    counts = RANDOM.integers(0, 30, (count, count)) + np.eye(count, dtype=int) * 1000
    return confusion_picture(
        0 * counts if empty else counts, names(count, long=long), title=f"{LONG * 2} on pets" if long else "lenet5 on pets"
    )


def mistakes(count: int, *, long: bool = False) -> bytes:
    images = RANDOM.integers(0, 255, (count, 28, 28, 1), np.uint8)
    said = names(count, long=long)
    return mistakes_picture(images, said, said[::-1], [0.9] * count, num_mistakes=3 * count, num_images=999)


def predictions(count: int, *, long: bool = False) -> bytes:
    images = RANDOM.integers(0, 255, (count, 60, 80, 3), np.uint8)
    answers = [[(name, 0.2) for name in names(5, long=long)]] * count
    return predictions_picture(images, answers, [f"{name}.png" for name in names(count, long=long)])


def overlays(num_classes: int, *, long: bool = False) -> bytes:
    images = RANDOM.integers(0, 255, (2, 30, 40, 3), np.uint8)
    masks = np.repeat(np.arange(40, dtype=np.uint8)[None, None] % num_classes, 30, 1).repeat(2, 0)
    captions = ["a.png", "truth", "answer"] * 2
    return overlays_picture(images, [masks, masks], names(num_classes, long=long), captions=captions, title="Masks")


def parts(count: int, *, long: bool = False) -> list[str]:
    return [f"stage{k // 6 + 1}.block{k % 6 + 1}.{'body.very_long_name_of_a_part.' if long else ''}conv" for k in range(count)]


def samples(
    count: int, *, long: bool = False, steps: tuple[int, ...] = (1, 50, 2000), troubled: bool = True, kinds: int = 4
) -> list[Sample]:
    layers = []
    for k, path in enumerate(parts(count, long=long)):
        shares = [0.9 if troubled and k % 4 == place else 0.0 for place in range(4)][:kinds]
        told = dict(zip(("dead", "saturated", "constant", "alike"), shares, strict=False))
        layers.append(
            LayerSample(path=path, signal=0.1**k if count < 20 else 0.5**k, update_ratio=2e-3, drift=0.5 if troubled else 0.002, **told)
        )
    return [Sample(step=step, layers=tuple(layers)) for step in steps]


def reliability(count: int, *, curve: bool = True, sure: bool = False) -> bytes:
    bins = [
        Bin(low=k / 15, high=(k + 1) / 15, num_images=count, confidence=(k + 0.5) / 15, accuracy=min(1.0, 0.2 + k / 15))
        for k in range(14 if sure else 0, 15)
    ]
    before, after = (Reliability(temperature=t, ece=0.1 * t, log_loss=0.5, bins=bins) for t in (1.0, 1.7))
    points = [CoveragePoint(coverage=c / 10, threshold=0.5, accuracy=1 - 0.02 * c) for c in range(1, 11)] if curve else []
    return reliability_picture(before, after, points)


def rates(count: int) -> bytes:
    at = np.geomspace(1e-6, 1, count)
    losses = 2.3 - 1.5 * np.exp(-((np.log10(at) + 2) ** 2)) + (at > 0.3) * 5
    return range_picture(LearningRateRange(tuple(at), tuple(losses + 0.1), tuple(losses), 0.0035, 0.00081))


def roofline(count: int) -> bytes:
    layers = [{"intensity": 0.5 * (k + 1), "share_of_peak": 0.4, "forward_ms": 1.0 + k} for k in range(count)]
    return roofline_picture(layers, Machine(5e10, 8e9), title=LONG * 2 if count > 50 else "lenet5")


def scatter(count: int, *, long: bool = False, images: int = 200) -> bytes:
    truth = RANDOM.normal(size=(images, count)) * 1000
    return scatter_picture(truth + RANDOM.normal(size=truth.shape), truth, names(count, long=long), title="Estimates, val split")


def resistance(count: int, sizes: tuple[float, ...] = (0, 0.1, 0.2, 0.3)) -> bytes:
    units = ("eps (linf)", "eps (l2)", "degrees", "severity")
    return accuracy_curves(
        tuple(
            Resistance(
                attack=f"corruption_{k}",
                unit=units[k % len(units)] if count < 9 else "severity",
                sizes=sizes,
                accuracies=(0.9, 0.5, 0.2, 0.0)[: len(sizes)],
            )
            for k in range(count)
        )
    )


def ablation(count: int, num_epochs: int, *, long: bool = False, seeds: int = 3) -> bytes | None:
    rows = []
    for name in names(count, long=long):
        shift = RANDOM.random()
        curve = tuple((float(e), 2.0 / e + shift, 2.1 / e, 0.9 - shift / (1 + e)) for e in range(1, num_epochs + 1))
        spread = tuple((float(e), 0.05, 0.05, 0.02) for e in range(1, num_epochs + 1)) if seeds > 1 else ()
        gradients = {f"w{k}": 0.1 + shift for k in range(20)}
        rows.append(SimpleNamespace(name=name, steps=300, curve=curve, curve_deviation=spread, gradients_before=gradients))
    told = {"network": "lenet5", "data": LONG if long else "mnist", "budget": "steps", "seeds": seeds}
    return ablation_picture(SimpleNamespace(variants=tuple(rows), **told))  # type: ignore[arg-type]


def lesion(blocks: int, *, long: bool = False) -> bytes:
    points = [LesionPoint(lesion="block", where=name, damage=1 / blocks, accuracy=0.5) for name in parts(blocks, long=long)]
    for name in ("channels smallest", "channels largest", "channels random", "filters", *(["blocks", "shuffle"] if blocks else [])):
        points += [LesionPoint(lesion=name, where="", damage=d, accuracy=0.9 - d * 0.8) for d in (0.05, 0.3, 0.9)]
    return lesion_picture(LesionReport(run="r", network="resnet20_cifar", images=100, accuracy=0.91, points=tuple(points), output="o"))


@functools.cache
def subject(channels: int, num_classes: int, *, long: bool = False) -> tuple[Viewed, Any, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, channels, 3), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
    )
    count = 3 * num_classes
    images = RANDOM.integers(0, 255, (count, 9, 8, 1), np.uint8)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    told = tuple(names(num_classes, long=long))
    paths = tuple(f"{k}.png" for k in range(count))
    split = SimpleNamespace(images=images, labels=np.arange(count) % num_classes, classes=told, paths=paths)
    split = type("Split", (SimpleNamespace,), {"__len__": lambda self: len(self.images)})(**vars(split))
    return Viewed(told, network.eval(), "1", list(paths), inputs, lambda x: x, seed=0), split, inputs


def view(kind: str, file: int, channels: int, num_classes: int, *, long: bool = False) -> bytes:
    what, split, inputs = subject(channels, num_classes, long=long)
    shown = [item for item in draw_view(kind, what, lambda: (split, inputs)) if item.name.endswith(".png")]  # type: ignore[arg-type]
    return shown[file].content


PICTURES: dict[str, Picture] = {
    "confusion, usual": lambda: confusion(10),
    "confusion, two classes, long names": lambda: confusion(2, long=True),
    "confusion, empty": lambda: confusion(3, empty=True),
    "confusion, 100 classes": lambda: confusion(100, long=True),
    "curves, usual": lambda: curves_picture(epochs(12), title="lenet5 on mnist"),
    "curves, one epoch": lambda: curves_picture(epochs(1)),
    "curves, 200 epochs": lambda: curves_picture(epochs(200), title=LONG * 3),
    "bands, usual": lambda: bands_picture([epochs(10), epochs(10), epochs(9)], title="lenet5 on mnist"),
    "bands, one epoch": lambda: bands_picture([epochs(1), epochs(1)], title="lenet5 on mnist"),
    "mistakes, usual": lambda: mistakes(12),
    "mistakes, none": lambda: mistakes(0),
    "mistakes, long names": lambda: mistakes(36, long=True),
    "predictions, usual": lambda: predictions(6),
    "predictions, one, long names": lambda: predictions(1, long=True),
    "overlays, usual": lambda: overlays(4),
    "overlays, 40 classes": lambda: overlays(40, long=True),
    "gradients, usual": lambda: gradient_evidence(samples(8)),
    "gradients, one look": lambda: gradient_evidence(samples(1, steps=(1,))),
    "gradients, crowded": lambda: gradient_evidence(samples(110, long=True)),
    "layers, usual": lambda: shares_evidence(samples(8)),
    "layers, healthy": lambda: shares_evidence(samples(8, troubled=False)),
    "layers, crowded": lambda: shares_evidence(samples(110, long=True)),
    "reliability, usual": lambda: reliability(20),
    "reliability, one bin": lambda: reliability(3, sure=True, curve=False),
    "lr range": lambda: rates(100),
    "roofline, usual": lambda: roofline(9),
    "roofline, empty": lambda: roofline(0),
    "roofline, crowded": lambda: roofline(120),
    "scatter, usual": lambda: scatter(3),
    "scatter, one": lambda: scatter(1, images=2),
    "scatter, crowded": lambda: scatter(30, long=True),
    "attack, usual": lambda: resistance(4),
    "attack, one size": lambda: resistance(1, sizes=(0.1,)),
    "attack, 19 corruptions": lambda: resistance(19),
    "ablation, usual": lambda: ablation(4, 10),
    "ablation, one epoch": lambda: ablation(3, 1, seeds=1),
    "ablation, crowded": lambda: ablation(40, 100, long=True),
    "lesion, usual": lambda: lesion(9),
    "lesion, no blocks": lambda: lesion(0),
    "lesion, crowded": lambda: lesion(110, long=True),
    "filters, usual": lambda: view("filters", 0, 6, 3),
    "filters, 512": lambda: view("filters", 0, 512, 3),
    "norms, usual": lambda: view("filters", 1, 6, 3),
    "norms, 512": lambda: view("filters", 1, 512, 3),
    "maps, one channel": lambda: view("maps", 0, 1, 3),
    "maps, 512": lambda: view("maps", 0, 512, 3),
    "units, usual": lambda: view("units", 0, 6, 3),
    "by class, usual": lambda: view("by_class", 0, 6, 3),
    "by class, one channel": lambda: view("by_class", 0, 1, 2),
    "by class, crowded": lambda: view("by_class", 0, 512, 100, long=True),
    "layout, usual": lambda: view("pca", 0, 6, 3),
    "layout, crowded": lambda: view("pca", 0, 8, 100, long=True),
    "montage, one pixel": lambda: montage(np.zeros((1, 1, 1, 1), np.uint8), ["a"], title="one"),
}


TOUCHING = 1.0  # pixels by which two texts may run into each other


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong with the pictures that are drawn from now on."""
    found: list[str] = []
    draw = FigureCanvasAgg.draw

    def look_at(canvas: FigureCanvasAgg) -> None:
        draw(canvas)
        found.extend(faults_of(canvas.figure))

    monkeypatch.setattr(FigureCanvasAgg, "draw", look_at)
    return found


def faults_of(figure: Figure) -> Iterator[str]:
    texts = {text: text.get_window_extent() for text in shown_texts(figure)}
    if figure.get_layout_engine():  # of the others the picture is cut to what stands in them
        for text, box in texts.items():
            if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1:
                yield f"runs out of the picture: {text.get_text()!r}"
    yield from overlaps(texts)
    yield from (f"markup is drawn: {text.get_text()!r}" for text in texts if "\\math" in text.get_text())
    if not any(text.get_text().strip() for text in titles(figure)):
        yield "no title"
    for axes in figure.axes:
        if axes.axison and axes.get_label() != "<colorbar>":
            yield from faults_of_axes(figure, axes)


def titles(figure: Figure) -> list[Text]:
    """Of the figure and its axes, or the words on bare axes, as of a montage."""
    above = [figure._suptitle] if figure._suptitle else []
    return [*above, *(text for axes in figure.axes for text in (axes.title, axes._left_title, *axes.texts))]


def shown_texts(figure: Figure) -> list[Text]:
    """Those that are drawn: ticks outside the limits are not."""
    unseen = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.majorTicks, *axis.minorTicks)
        for label in (tick.label1, tick.label2)
        if not axes.axison or tick not in axis._update_ticks()
    }
    unseen |= {part for axes in figure.axes if not axes.axison for part in (axes.xaxis.label, axes.yaxis.label)}
    seen = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text not in unseen]
    return [text for text in seen if text.get_text().strip() and text.axes in (None, *figure.axes)]


def overlaps(texts: dict[Text, Bbox]) -> Iterator[str]:
    boxes = np.array([[box.x0, box.y0, box.x1, box.y1] for box in texts.values()]).reshape(-1, 4)
    lows = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    highs = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    words = list(texts)
    for i, j in np.argwhere(np.triu((highs - lows > TOUCHING).all(2), 1)):
        yield f"overlap: {words[i].get_text()!r} and {words[j].get_text()!r}"


def faults_of_axes(figure: Figure, axes: Axes) -> Iterator[str]:
    for axis, shared in (("x", figure._supxlabel), ("y", figure._supylabel)):
        ticks = [text.get_text() for text in getattr(axes, f"get_{axis}ticklabels")() if text.get_visible() and text.get_text()]
        told = getattr(axes, f"get_{axis}label")() or shared
        if ticks and not told:
            yield f"no label at the {axis} axis of {axes.get_title('left')!r}"
    legend = axes.get_legend()
    if legend is not None:
        box = legend.get_window_extent()
        for points in drawn_points(axes):
            if len(points) and box.count_contains(points):
                yield f"legend over the data of {axes.get_title('left')!r}"


def drawn_points(axes: Axes) -> Iterator[np.ndarray]:
    """In pixels: lines at many places, marks, and the corners and tops of bars."""
    for line in axes.get_lines():
        x, y = (np.asarray(part, float) for part in line.get_data())
        dense = [np.linspace(a, b, 20) for a, b in itertools.pairwise(np.column_stack([x, y]))]
        if all(line.get_transform().contains_branch_seperately(axes.transData)):
            yield axes.transData.transform(np.concatenate(dense) if dense else np.column_stack([x, y]))
    for marks in axes.collections:
        if isinstance(marks, PathCollection):
            yield axes.transData.transform(np.asarray(marks.get_offsets()))
    for bar in axes.patches:
        if isinstance(bar, Rectangle) and bar.get_width() and bar.get_height():
            corners = bar.get_bbox()
            yield axes.transData.transform(
                [(corners.x0, corners.y1), (corners.x1, corners.y1), ((corners.x0 + corners.x1) / 2, corners.y1)]
            )


SLOW = ("crowded", "100", "512", "40", "long names")
MARKED = [pytest.param(name, marks=pytest.mark.slow if any(word in name for word in SLOW) else ()) for name in PICTURES]


@pytest.mark.parametrize("name", MARKED)
def test_every_picture_is_titled_and_labelled_and_its_texts_stand_apart(name: str, faults: list[str]) -> None:
    """Usual, empty and crowded: two classes and a hundred, one epoch and 200, one channel and 512, long names."""
    assert PICTURES[name]()

    assert not faults


@pytest.mark.slow
@pytest.mark.parametrize("name", ["activations", "art", "initialisation", "memory", "som", "svm"])
def test_the_pictures_of_demos_are_titled_and_labelled_and_their_texts_stand_apart(name: str, faults: list[str]) -> None:
    module = importlib.import_module(f"striate.demos.{name}")
    for draw in module.show(Setting(short=True)).pictures.values():
        assert draw()

    assert not faults


def test_what_is_looked_for_is_found(faults: list[str]) -> None:
    """A picture with every fault: none of the checks is blind."""
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(4, 3))
        axes.plot([0, 1], [0, 1], label="a")
        axes.legend(loc="upper left", bbox_to_anchor=(0.4, 0.6))
        axes.text(0.5, 0.5, "one word", transform=axes.transAxes)
        axes.text(0.5, 0.5, "on another", transform=axes.transAxes)
        figure.text(0.9, 0.5, "a long text at the right edge")
        figure.text(0.1, 0.5, "$\\mathdefault{10}$")

        png_bytes(figure)

    told = " ".join(faults)
    for fault in ("overlap: 'one word' and 'on another'", "runs out", "no label at the x axis", "legend over the data", "markup is drawn"):
        assert fault in told


def test_seven_series_are_told_apart_by_colour_blind_people() -> None:
    """Distances in CIELAB as people without long or medium cones see the colours (Viénot, Brettel and Mollon, 1999)."""
    for cones in (PROTANOPE, DEUTERANOPE, np.eye(3)):
        seen = [lab(cones @ linear(colour)) for colour in COLOURS]
        assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > 15


def test_no_two_of_forty_series_look_alike() -> None:
    looks = [tuple(look(place).values()) for place in range(40)]

    assert len(set(looks)) == 40


def test_a_series_of_one_point_is_a_mark_with_its_value() -> None:
    with drawing():
        _, ((axes,),) = panels(1, 1, size=(4, 3))

        curve(axes, [3], [0.456], color="black")

    assert axes.lines[0].get_marker() == "o" and [text.get_text() for text in axes.texts] == ["0.456"]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Those that are drawn from now on."""
    found: list[Figure] = []
    draw = FigureCanvasAgg.draw

    def keep(canvas: FigureCanvasAgg) -> None:
        draw(canvas)
        found.append(canvas.figure)

    monkeypatch.setattr(FigureCanvasAgg, "draw", keep)
    return found


def bars(figure: Figure) -> list[tuple[str, tuple[float, float]]]:
    """The colour bars: what they say they mean, and from where to where they go."""
    return [(axes.get_ylabel(), axes.get_ylim()) for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_colours_that_stand_for_numbers_have_a_bar_that_says_what_and_from_where_to_where(figures: list[Figure]) -> None:
    view("filters", 1, 6, 3)
    view("by_class", 0, 6, 3)

    ((norm, (least, most)),), ((output, (lowest, highest)),) = [found for figure in figures if (found := bars(figure))]
    assert (norm, least) == ("norm", 0) and most > 0
    assert (output, lowest) == ("mean output", 0) and 0.5 < highest < 1  # of a sigmoid: nothing below 0 takes half of the colours


def test_outputs_with_a_sign_are_white_at_zero(figures: list[Figure]) -> None:
    what, split, inputs = subject(6, 3)
    draw_view("by_class", what._replace(layers=("0",)), lambda: (split, inputs))  # type: ignore[arg-type,return-value]

    ((_, (least, most)),) = bars(figures[-1])
    assert least == -most


def test_the_map_of_distances_has_a_bar(figures: list[Figure]) -> None:
    digits, labels = RANDOM.random((60, 64)), np.arange(60) % 10
    map_ = SelfOrganizingMap(rows=3, columns=3, max_iter=1, random_state=0).fit(digits)

    draw_digits(map_, labels[:9])

    ((told, _),) = bars(figures[-1])
    assert told == "mean distance of the weights (L2)"


@pytest.mark.parametrize(
    ("size", "unit", "told"),
    [(8 / 255, "eps (linf)", "eps 8/255"), (0.1, "eps (linf)", "eps 0.1 (linf)"), (0.5, "eps (l2)", "eps 0.5 (l2)")],
)
def test_a_picture_that_fools_is_captioned_with_what_was_said_and_the_size_of_the_change(
    size: float, unit: str, told: str, figures: list[Figure]
) -> None:
    shown = np.full((1, 4, 4, 1), 100, np.uint8)
    changed = np.full((1, 4, 4, 1), 100 / 255 + size, np.float32)
    fooled_picture("pgd", unit, shown, changed, [("cat", "dog")], [size])

    assert [text.get_text() for text in figures[-1].axes[0].texts][:3] == ["cat", f"said dog\n{told}", "change x 10"]


def test_a_logarithmic_axis_over_less_than_a_power_of_ten_has_several_numbers() -> None:
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(4, 3))
        powers(axes, "y")
        axes.plot([0, 1], [0.38, 0.9])
        png_bytes(figure)

    seen = [label.get_text() for label in axes.get_yticklabels(which="both") if label.get_text()]
    assert {"0.4", "0.5", "0.6", "0.7", "0.8"} <= set(seen)


PROTANOPE = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])  # of linear sRGB
DEUTERANOPE = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    part = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of linear sRGB."""
    x, y, z = np.cbrt(np.maximum(XYZ @ rgb, 1e-4) / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
