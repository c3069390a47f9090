"""Results as pictures. Every function returns the bytes of a PNG file, the same bytes for the same data.

Drawn with matplotlib's Figure objects: pyplot, its windows and the user's style settings are not touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from striate.core.errors import ShapeError, UsageError
from striate.drawing.style import DPI, RIGHT, SMALL, WRONG, as_written, drawable, drawing, heading, png_bytes, short_name, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Scale(NamedTuple):
    """The colour scale of a montage: a colour map of matplotlib, the meaning of its ends, and where it applies."""

    colours: str
    low: str
    high: str
    where: str = ""


def confusion_picture(
    confusion: Sequence[Sequence[int]] | np.ndarray, classes: Sequence[str], *, title: str = "Confusion matrix", noun: str = "image"
) -> bytes:
    """A confusion matrix: colour is the share of the true class, the numbers are images, written where they fit.

    Args:
        confusion: (K, K) counts; row = true class, column = predicted class.
        classes: K names.
        title: First line; the counts and the accuracy follow in the second.
        noun: The noun for the items counted.

    Raises:
        ShapeError: `confusion` is not (K, K).
    """
    counts = np.asarray(confusion)
    num_classes = len(classes)
    if counts.shape != (num_classes, num_classes):
        raise ShapeError(f"confusion must have shape ({num_classes}, {num_classes}), a row and a column per class, got {counts.shape}")
    support = counts.sum(1, keepdims=True)
    shares = np.ma.masked_where(np.broadcast_to(support == 0, counts.shape), 100 * counts / np.maximum(support, 1))  # (K, K), %
    cell = min(max(5 / num_classes, 0.115), 0.8) if num_classes <= 100 else 11.5 / num_classes  # inches
    side = cell * num_classes

    with drawing():
        from matplotlib.colors import PowerNorm

        figure, axes = _panel(side, side)
        colours = axes.imshow(shares, cmap=_blues(), norm=PowerNorm(0.5, 0, 100), interpolation="nearest")  # the root shows rare mistakes
        _name_classes(axes, classes, cell)
        _write_counts(axes, counts, shares, cell)
        total, correct = int(counts.sum()), int(counts.trace())
        accuracy = f", accuracy {100 * correct / total:.2f} %" if total else ""
        empty = f", grey: no {noun}s of the class" if total and not support.all() else ""
        told = f"{heading(title)}\n{total:,} {noun if total == 1 else noun + 's'}{accuracy}{empty}"
        axes.set_title(told, fontsize=10, loc="left", parse_math=False)
        width = figure.get_figwidth()
        bar = figure.colorbar(colours, cax=figure.add_axes((1 + 0.15 / width, 0, 0.12 / width, 1)), ticks=[0, 1, 5, 10, 25, 50, 75, 100])
        bar.set_label("share of the true class (%)", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        return png_bytes(figure)


def mistakes_picture(
    images: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    probabilities: Sequence[float] | np.ndarray,
    *,
    num_mistakes: int,
    num_images: int,
) -> bytes:
    """Misclassified images in the order given (see `most_confident_mistakes`), each with the predicted and the true class.

    Args:
        images: (n, H, W, C) uint8; n may be 0.
        true: n class names.
        predicted: n class names.
        probabilities: (n,) of the predicted classes.
        num_mistakes: All mistakes on the split, of which `images` shows the first.
        num_images: All images of the split.

    Raises:
        ShapeError, UsageError: the arguments do not fit each other.
    """
    _check_lengths(images, true=true, predicted=predicted, probabilities=probabilities)
    if num_mistakes == 0:
        return montage(images, title=f"No mistakes among {num_images:,} images")
    shown = "all" if len(images) == num_mistakes else f"the {len(images)} most confident"
    captions = [
        f"{short_name(said)}  {_percent(probability)}\nis {short_name(label)}"
        for said, label, probability in zip(predicted, true, probabilities, strict=True)
    ]
    heading = (
        f"Mistakes: {num_mistakes:,} of {num_images:,} images ({shown})\nEach with the prediction, its probability, and the true class"
    )
    return montage(images, captions, title=heading, wrong=[True] * len(images))


def predictions_picture(
    images: np.ndarray, answers: Sequence[Sequence[tuple[str, float | str]]], names: Sequence[str], *, title: str = "Predictions"
) -> bytes:
    """Pictures with their answers: under each its name and the classes with their probabilities, best first, at most five.

    Args:
        images: (n, H, W, C) uint8.
        answers: n lists of (class, probability), or of (class, text).
        names: n file names.
        title: The heading.

    Raises:
        ShapeError, UsageError: the arguments do not fit each other.
    """
    _check_lengths(images, answers=answers, names=names)
    captions = [
        "\n".join([short_name(name), *(f"{short_name(c)}  {sure if isinstance(sure, str) else _percent(sure)}" for c, sure in best[:5])])
        for name, best in zip(names, answers, strict=True)
    ]
    return montage(images, captions, title=title)


def montage(
    images: np.ndarray,
    captions: Sequence[str] = (),
    *,
    title: str,
    columns: int | None = None,
    wrong: Sequence[bool] = (),
    legend: Mapping[str, tuple[float, float, float]] | None = None,
    scales: Sequence[Scale] = (),
) -> bytes:
    """Images in a grid, row by row, each above its caption.

    Args:
        images: (n, H, W, C) uint8: C = 1 grey, 3 colour; for any other C the mean of the channels is shown. n may be 0.
        captions: n texts of one or more lines, or none.
        title: The heading.
        columns: Images in a row; by default as many as make the picture a little wider than high.
        wrong: n flags, or none; a flagged image is framed and its caption red.
        legend: Below the images: names with their colours, red, green and blue in [0, 1].
        scales: Below the images: bars of the colours that stand for numbers.

    Raises:
        ShapeError: `images` has another shape or type.
        UsageError: another number of captions or flags than images, or fewer than one column.
    """
    _check_lengths(images, **{name: part for name, part in {"captions": captions, "wrong": wrong}.items() if len(part)})
    if columns is not None and columns < 1:
        raise UsageError(f"columns must be at least 1, got {columns}")
    num_images, height, width = images.shape[:3]
    columns = columns or max(1, min(num_images, max(3, math.ceil(math.sqrt(1.4 * num_images)))))
    rows = math.ceil(num_images / columns)
    texts = [drawable(text) for text in captions]
    lines = [text.split("\n") for text in texts]
    num_lines, longest = max(map(len, lines), default=0), max((len(line) for text in lines for line in text), default=0)

    # All in inches: a box for the image, as wide as the captions and photographs need, and a cell with caption and gap around it.
    box_width = max(0.85, min(width / DPI, 1.6), min(0.066 * longest, 1.95))
    box_height = min(max(box_width * height / width, 0.35), 2 * box_width)
    across, down = box_width + 0.12, box_height + 0.155 * num_lines + 0.12
    scale = min(box_width / width, box_height / height)
    with drawing():
        figure, axes = _panel(columns * across, max(rows * down, 0.2))
        axes.set(xlim=(0, columns * across), ylim=(min(-rows * down, -0.2), 0))
        axes.axis("off")
        for i in range(num_images):
            middle, top = (i % columns) * across + box_width / 2, -(i // columns) * down
            flagged = bool(len(wrong)) and bool(wrong[i])
            _show(axes, images[i], middle, top - box_height / 2, scale, framed=flagged)
            if texts:
                colour = WRONG if flagged else RIGHT
                place = (middle, top - box_height - 0.05)
                axes.text(*place, texts[i], ha="center", va="top", fontsize=7.5, linespacing=1.15, color=colour, parse_math=False)
        axes.text(0, 0.12, heading(title), ha="left", va="bottom", fontsize=10, parse_math=False)
        if legend:
            _explain(axes, legend, width=columns * across)
        _draw_scales(axes, scales, bottom=min(-rows * down, -0.2))
        return png_bytes(figure)


def _panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure that its axes fill, sizes in inches; what stands outside is added when it is saved."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    return figure, figure.add_axes((0, 0, 1, 1))


def _blues() -> Any:
    """White to dark blue; grey where there is nothing to show."""
    import matplotlib

    return matplotlib.colormaps["Blues"].with_extremes(bad="#dddddd")


def _name_classes(axes: Axes, classes: Sequence[str], cell: float) -> None:
    """Class names on both axes, every n-th where there are too many to read."""
    every = math.ceil(0.115 / cell - 1e-9)
    places = range(0, len(classes), every)
    names = [short_name(classes[k], 24) for k in places]
    size = min(9.0, max(5.5, 72 * cell * every * 0.75))
    longest = max(len(name) for name in names) * 0.65 * size / 72  # inches, about
    axes.set_xticks(list(places), names, fontsize=size, rotation=0 if longest < cell * every else 90, parse_math=False)
    axes.set_yticks(list(places), names, fontsize=size, parse_math=False)
    axes.tick_params(length=2)
    some = "" if every == 1 else f" (one in {every} named)"
    axes.set_xlabel(f"predicted class{some}", fontsize=10)
    axes.set_ylabel(f"true class{some}", fontsize=10)


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ma.MaskedArray[Any, Any], cell: float) -> None:
    """Counts other than 0 in their cells, if the longest fits in readable size."""
    digits = len(f"{int(counts.max()):,}")
    size = min(10.0, 72 * 0.85 * cell / (0.65 * digits), 72 * 0.6 * cell)
    if size < 5.5:
        return
    for true, predicted in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[true, predicted] > 35 else "black"  # the darker half of the map, which goes by the root
        axes.text(predicted, true, f"{counts[true, predicted]:,}", ha="center", va="center", fontsize=size, color=colour)


def _show(axes: Axes, image: np.ndarray, middle: float, centre: float, scale: float, *, framed: bool) -> None:
    """Draw (H, W, C) uint8 with `scale` inches a pixel around a point; enlarged in whole squares, reduced smoothly."""
    from matplotlib.patches import Rectangle

    height, width = (scale * side for side in image.shape[:2])
    left, bottom = middle - width / 2, centre - height / 2
    shown = image if image.shape[2] == 3 else image.mean(2, keepdims=True).round().astype(np.uint8).repeat(3, axis=2)  # (H, W, 3)
    interpolation = "nearest" if scale * DPI >= 1 else "hanning"
    extent = (left, left + width, bottom, bottom + height)
    axes.imshow(shown, interpolation=interpolation, extent=extent, aspect="auto")
    colour, line = (WRONG, 1.6) if framed else ("#bbbbbb", 0.6)
    axes.add_patch(Rectangle((left, bottom), width, height, fill=False, clip_on=False, edgecolor=colour, linewidth=line))


def _draw_scales(axes: Axes, scales: Sequence[Scale], bottom: float) -> None:
    """A bar below the axes for each scale, with what its ends mean; sizes in inches, as the axes have them."""
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    for place, scale in enumerate(scales):
        left, middle = 0.0, bottom - 0.14 - 0.24 * place
        for part in (scale.where, scale.low):
            if part:
                axes.text(left, middle, part, ha="left", va="center", fontsize=SMALL)
                left += width_of(part, SMALL) + 0.08
        shown = np.linspace(0, 1, 128)[None]
        axes.imshow(shown, cmap=scale.colours, extent=(left, left + 1.1, middle - 0.06, middle + 0.06), aspect="auto", clip_on=False)
        axes.text(left + 1.18, middle, scale.high, ha="left", va="center", fontsize=SMALL)
    axes.set(**limits)


def _explain(axes: Axes, legend: Mapping[str, tuple[float, float, float]], width: float) -> None:
    """Names with their colours below the axes, as many in a row as `width` inches hold."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour, edgecolor="#555555", linewidth=0.5) for colour in legend.values()]
    names = [short_name(name) for name in legend]
    each = 0.45 + 0.075 * max(map(len, names))  # inches
    columns = max(1, min(len(names), int(width / each)))
    box = axes.legend(patches, names, loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=0.2, ncols=columns, fontsize=8)
    box.set_frame_on(False)
    as_written(box)


def _check_lengths(images: np.ndarray, **parts: Sequence[Any] | np.ndarray) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise ShapeError(f"images must be uint8 of shape (n, H, W, C), got {images.dtype} {images.shape}")
    for name, part in parts.items():
        if len(part) != len(images):
            raise UsageError(f"{name} must have {len(images)} entries, one per image, got {len(part)}")


def _percent(probability: float) -> str:
    """A probability in percent; never rounded up to certainty."""
    return f"{100 * probability:.1f} %" if probability < 0.9995 or probability == 1 else "> 99.9 %"
