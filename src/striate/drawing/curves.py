"""Plots of training runs: losses, accuracy and learning rate by epoch, and bands over several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import UsageError
from striate.drawing.style import RIGHT, TRAIN, VAL, WRONG, beside, curve, drawing, panels, plain, png_bytes, powers, whole_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Sequence[float] | np.ndarray


def curves_picture(rows: Sequence[Mapping[str, Any]], *, title: str = "Training") -> bytes:
    """Plot a training run: losses, accuracy and learning rate by epoch.

    Args:
        rows: One mapping an epoch with `epoch` and any of `train_loss`, `val_loss` (nats), `train_accuracy`, `val_accuracy`,
            `val_robust_accuracy`, `val_auxiliary_accuracy` (in [0, 1]) and `learning_rate`; numbers, their text as in `metrics.csv`, or
            None or "" where there is none.
        title: The heading.

    Raises:
        UsageError: no rows, or a cell that is not a number; names it.
    """
    if not rows:
        raise UsageError("no epochs to draw: metrics has no rows")
    epochs = _column(rows, "epoch")
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "val_robust_accuracy", "val_auxiliary_accuracy", "learning_rate")
    columns = {name: _column(rows, name) for name in names}
    seen = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    shown = [kind for kind in ("loss", "accuracy", "learning_rate") if any(name.endswith(kind) for name in seen)]
    if not shown:
        raise UsageError("nothing to draw: metrics has neither losses, accuracies nor learning rates")

    with drawing():
        heights = [1.0 if kind == "learning_rate" else 2.3 for kind in shown]
        size = (7.2, sum(heights) + 0.9)
        figure, grid = panels(len(shown), 1, size=size, title=title, sharex=True, gridspec_kw={"height_ratios": heights})
        for axes, kind in zip(grid[:, 0], shown, strict=True):
            _draw_curves(axes, kind, epochs, seen)
        whole_epochs(axes, epochs)
        return png_bytes(figure)


def plot_with_band(axes: Axes, epochs: Numbers, means: Numbers, deviations: Numbers, *, form: str = ".3g", **of_line: Any) -> None:
    """A curve of means over training runs, in a band of one standard deviation if there are several."""
    curve(axes, epochs, means, form=form, **of_line)
    if not len(deviations):
        return
    middle, half = np.asarray(means), np.asarray(deviations)
    if len(epochs) > 1:
        axes.fill_between(epochs, middle - half, middle + half, color=of_line["color"], alpha=0.18, linewidth=0)
    else:
        axes.errorbar(epochs, middle, half, color=of_line["color"], capsize=3)


def bands_picture(trainings: Sequence[Sequence[Mapping[str, Any]]], *, title: str) -> bytes:
    """Loss and accuracy by epoch of several runs: each as a thin line, their mean as a thick one in a band of one standard deviation.

    Args:
        trainings: The rows of each, as of `curves_picture`. Means reach as far as the shortest.
        title: The heading.
    """
    length = min(map(len, trainings))
    tables = {
        name: np.stack([_column(rows, name)[:length] for rows in trainings])  # (trainings, epochs)
        for name in ("train_loss", "val_loss", "val_accuracy")
    }
    epochs = _column(trainings[0], "epoch")[:length]
    shown: list[tuple[str, tuple[str, ...]]] = [("loss", ("train_loss", "val_loss"))]
    shown += [("accuracy", ("val_accuracy",))] if np.isfinite(tables["val_accuracy"]).any() else []
    with drawing():
        note = f"mean of {len(trainings)} training runs, band: one standard deviation"
        figure, grid = panels(len(shown), 1, size=(7.2, 2.4 * len(shown) + 1.1), title=f"{title}\n{note}", sharex=True)
        for axes, (kind, names) in zip(grid[:, 0], shown, strict=True):
            for name in names:
                colour, scale = (TRAIN if name.startswith("train") else VAL), 100 if kind == "accuracy" else 1
                values = scale * tables[name]
                if length > 1:
                    axes.plot(epochs, values.T, color=colour, linewidth=0.5, alpha=0.5)
                spread = values.std(0, ddof=1) if len(values) > 1 else ()
                plot_with_band(axes, epochs, values.mean(0), spread, color=colour, label=name.split("_")[0])
            plain(axes, y="loss (nats)" if kind == "loss" else "accuracy (%)")
            beside(axes)
        whole_epochs(axes, epochs)
        return png_bytes(figure)


def _draw_curves(axes: Axes, kind: str, epochs: np.ndarray, seen: Mapping[str, np.ndarray]) -> None:
    scale = 100 if kind == "accuracy" else 1
    lines = (
        (f"train_{kind}", TRAIN, "train"),
        (f"val_{kind}", VAL, "val"),
        (f"val_robust_{kind}", WRONG, "val under attack"),
        (f"val_auxiliary_{kind}", RIGHT, "val, auxiliary task"),
        (kind, RIGHT, kind.partition("_")[0]),
    )
    for name, colour, label in lines:
        if name in seen:
            curve(axes, epochs, scale * seen[name], color=colour, label=label)
    finite = np.concatenate([values[np.isfinite(values)] for name, values in seen.items() if name.endswith(kind)])
    if kind == "learning_rate":
        plain(axes, y="learning rate")
        axes.set_ylim(0, 1.15 * finite.max() if finite.max() > 0 else 1)
        return
    beside(axes)
    if kind == "loss":
        wide = finite.min() > 0 and finite.max() > 20 * finite.min()
        if wide:
            powers(axes, "y")
        plain(axes, y="loss (nats, log scale)" if wide else "loss (nats)")
        return
    plain(axes, title=_best(epochs, seen), y="accuracy (%)")


def _best(epochs: np.ndarray, seen: Mapping[str, np.ndarray]) -> str:
    for name, words in (("val_robust_accuracy", "best val accuracy under attack"), ("val_accuracy", "best val accuracy")):
        if name in seen:
            best = int(np.nanargmax(seen[name]))
            return f"{words} {100 * seen[name][best]:.2f} % in epoch {epochs[best]:g}"
    return ""


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """(number of rows,) float64; not-a-number where a row has none."""
    values = []
    for place, row in enumerate(rows, start=1):
        cell = row.get(name)
        try:
            values.append(math.nan if cell is None or cell == "" else float(cell))
        except ValueError:
            raise UsageError(f"metrics: {name} of row {place} must be a number, got {cell!r}") from None
    return np.array(values)
