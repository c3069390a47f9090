"""Figures of classical networks: decision regions, self-organizing maps, filters, energies, categories and codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import UsageError
from striate.drawing.animation import tiles
from striate.drawing.style import (
    COLOURS,
    FAINT,
    LEAST,
    SMALL,
    TEN,
    bare,
    beside,
    colour_bar,
    curve,
    drawing,
    look,
    panels,
    plain,
    short_name,
    whole_epochs,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FINE = 200  # points a side of a plane
MOST_FILTERS = 64
MOST_STATES = 8  # that are recalled in one figure


def regions_figure(
    answer: Callable[[np.ndarray], np.ndarray], points: np.ndarray, y: np.ndarray, classes: np.ndarray, title: str
) -> Figure:
    """The plane of two features in the colour of the class that is predicted at each point, with the samples.

    Args:
        answer: Maps points (N, 2) to labels (N,).
        points: (N, 2) samples.
        y: (N,) their labels.
        classes: The labels, in the order of their colours.
        title: The heading.
    """
    low, high = points.min(0), points.max(0)
    room = np.where(high > low, high - low, 1.0) * 0.08
    across, up = (np.linspace(low[k] - room[k], high[k] + room[k], FINE) for k in (0, 1))
    plane = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    places = np.searchsorted(classes, answer(plane)).reshape(FINE, FINE)
    with drawing():
        from matplotlib.colors import ListedColormap

        figure, grid = panels(1, 1, size=(6.4, 4.8), title=title)
        axes = grid[0, 0]
        plain(axes, x="feature 1", y="feature 2")
        axes.grid(visible=False)
        colours = ListedColormap([f"{look(k)['color']}40" for k in range(len(classes))])
        extent = (across[0], across[-1], up[0], up[-1])
        limits = {"vmin": -0.5, "vmax": len(classes) - 0.5}
        axes.imshow(places, extent=extent, origin="lower", aspect="auto", cmap=colours, interpolation="nearest", **limits)
        _scatter(axes, points, y, classes)
        beside(axes, title="class")
        return figure


def _scatter(axes: Axes, points: np.ndarray, labels: np.ndarray | None, classes: Sequence[Any] | np.ndarray) -> None:
    """Points (N, 2) by their labels, each with its colour and mark."""
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=14, color=COLOURS[0], edgecolor="white", linewidth=0.4)
        return
    for k, name in enumerate(classes):
        kind, marks = look(k), "os^Dv"
        some = points[labels == name]
        axes.scatter(
            some[:, 0], some[:, 1], s=20, color=kind["color"], marker=marks[k % 5], edgecolor="white", linewidth=0.4, label=str(name)
        )


def map_figure(positions: np.ndarray, hits: np.ndarray, names: np.ndarray | None, distances: np.ndarray, hexagonal: bool) -> Figure:
    """A self-organizing map: how many samples each unit wins, their majority label, and the distances to its neighbours.

    Args:
        positions: (units, 2) on the plane.
        hits: (units,) samples.
        names: (units,) the label of each, "" for a unit that wins nothing; None without labels.
        distances: (units,) the U-matrix.
        hexagonal: Whether units are hexagons.
    """
    width, height = np.ptp(positions, axis=0) + 1
    tall = min(2.2, max(0.6, height / width))
    with drawing():
        figure, grid = panels(1, 2, size=(10.4, 4.4 * tall + 0.8), title="Self-organizing map, a cell for each unit")
        for axes, values, title, bar in (
            (grid[0, 0], hits, "samples that each unit wins" + (", and their majority label" if names is not None else ""), "samples"),
            (grid[0, 1], distances, "distance to its neighbours (U-matrix)", "mean distance of the weights (L2)"),
        ):
            bare(axes, title=title)
            cells = _cells(positions, hexagonal=hexagonal, cmap="Blues")
            cells.set_array(values)
            axes.add_collection(cells)
            axes.set(xlim=(positions[:, 0].min() - 0.7, positions[:, 0].max() + 0.7), aspect="equal")
            axes.set_ylim(positions[:, 1].max() + 0.7, positions[:, 1].min() - 0.7)
            axes.spines[:].set_visible(False)
            colour_bar(figure, cells, axes, bar, high=0.85)
        if names is not None:
            _name_units(grid[0, 0], positions, names, hits > 0.6 * max(hits.max(), 1), inches=4.2 / width)
        return figure


def _name_units(axes: Axes, positions: np.ndarray, names: np.ndarray, dark: np.ndarray, *, inches: float) -> None:
    """The label of each unit in its cell of some `inches`, white on `dark` ones; shortened where it cannot be read at full length."""
    room = 72 * 0.8 * inches / 0.65  # points, for letters 0.65 as wide as high
    for (x, y), name, is_dark in zip(positions, names, dark, strict=True):
        words = short_name(str(name), max(5, int(room / LEAST)))
        size = min(10.0, room / max(1, len(words)))
        axes.text(x, y, words, ha="center", va="center", fontsize=size, color="white" if is_dark else "#222222", parse_math=False)


def _cells(positions: np.ndarray, *, hexagonal: bool, cmap: str) -> Any:
    from matplotlib.collections import PolyCollection

    corners = np.pi / 6 + np.arange(6) * np.pi / 3 if hexagonal else np.pi / 4 + np.arange(4) * np.pi / 2
    radius = 1 / np.sqrt(3) if hexagonal else np.sqrt(0.5)
    shape = radius * np.column_stack([np.cos(corners), np.sin(corners)])
    return PolyCollection(positions[:, None] + shape, cmap=cmap, edgecolor="white", linewidth=0.8)


def filters_figure(filters: np.ndarray, errors: Sequence[float], title: str) -> Figure:
    """The weights of hidden units as pictures (n, h, w), at most 64, and the reconstruction error before and after each epoch."""
    shown = filters[:MOST_FILTERS]
    limit = float(np.quantile(np.abs(shown), 0.98)) or 1.0
    some = f", the first {len(shown)} of {len(filters)}" if len(shown) < len(filters) else ""
    with drawing():
        figure, grid = panels(1, 2, size=(10.4, 4.6), title=title, width_ratios=(1, 1))
        left, right = grid[0]
        bare(left, title=f"weights of the hidden units{some}")
        columns = max(1, round((len(shown) * filters.shape[1] / filters.shape[2]) ** 0.5))
        sheet = np.ma.masked_invalid(tiles(shown, columns, gap=1, fill=np.nan))
        image = left.imshow(sheet, cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
        colour_bar(figure, image, left, "weight", high=0.85)
        plain(right, title="reconstruction error", y="mean square of the data less its reconstruction")
        epochs = np.arange(len(errors))
        curve(right, epochs, errors, color=COLOURS[0])
        whole_epochs(right, epochs)
        right.set_ylim(bottom=0)
        return figure


def samples_figure(samples: np.ndarray, names: Sequence[str], errors: Sequence[Sequence[float]], title: str) -> Figure:
    """Samples (labels, n, h, w) of each label, a row for each, and the reconstruction error of each machine before and after each epoch."""
    count, each, height, width = samples.shape
    with drawing():
        figure, grid = panels(1, 2, size=(10.4, 4.6), title=title, width_ratios=(1, 1))
        left, right = grid[0]
        bare(left, title="samples of each label")
        sheet = np.ma.masked_invalid(tiles(samples.reshape(-1, height, width), each, gap=1, fill=np.nan))
        left.imshow(sheet, cmap="gray", interpolation="nearest")
        left.set_yticks([(row + 0.5) * (height + 1) - 0.5 for row in range(count)], [short_name(name) for name in names], fontsize=SMALL)
        plain(right, title="reconstruction error", y="mean square of the data less its reconstruction")
        for k, course in enumerate(errors):
            style = look(k) | {"marker": ""}
            right.plot(range(len(course)), course, label=f"machine {k + 1}", **style)
        whole_epochs(right, np.arange(max(map(len, errors))))
        right.set_ylim(bottom=0)
        beside(right)
        return figure


def couplings_figure(weights: np.ndarray, biases: np.ndarray, num_visible: int, title: str) -> Figure:
    """The weights (n, n) between all units as shades, the biases on the diagonal; lines part the visible units from the hidden ones."""
    shown = weights + np.diag(biases)
    limit = float(np.abs(shown).max()) or 1.0
    with drawing():
        figure, grid = panels(1, 1, size=(6.4, 5.2), title=title)
        axes = grid[0, 0]
        plain(axes, x="unit, visible ones first", y="unit")
        axes.grid(visible=False)
        image = axes.imshow(shown, cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
        if num_visible < len(weights):
            axes.axhline(num_visible - 0.5, color="black", linewidth=0.8)
            axes.axvline(num_visible - 0.5, color="black", linewidth=0.8)
        marks = sorted({0, num_visible - 1, len(weights) - 1})
        axes.set_xticks(marks, [str(mark + 1) for mark in marks])
        axes.set_yticks(marks, [str(mark + 1) for mark in marks])
        colour_bar(figure, image, axes, "weight, on the diagonal bias")
        return figure


def energies_figure(energies: Sequence[Sequence[float]], names: Sequence[str], title: str) -> Figure:
    """The energy of each recalled state after every update of a unit."""
    with drawing():
        figure, grid = panels(1, 1, size=(7.2, 4.2), title=title)
        axes = grid[0, 0]
        plain(axes, x="units updated", y="energy")
        for k, (course, name) in enumerate(zip(energies, names, strict=True)):
            style = look(k) | {"marker": ""}
            axes.plot(range(len(course)), course, label=name, **style)
        beside(axes)
        return figure


def boxes_figure(boxes: np.ndarray, points: np.ndarray, y: np.ndarray | None, title: str) -> Figure:
    """The categories of two features as boxes (categories, 2, 2) around the samples that they hold."""
    with drawing():
        from matplotlib.patches import Rectangle

        figure, grid = panels(1, 1, size=(6.4, 4.8), title=title)
        axes = grid[0, 0]
        plain(axes, x="feature 1", y="feature 2")
        for k, (low, high) in enumerate(boxes):
            axes.add_patch(Rectangle(tuple(low), *(high - low), facecolor="#00000010", edgecolor="#222222", linewidth=1.2))
            axes.annotate(str(k), (low[0], high[1]), xytext=(2, 2), textcoords="offset points", fontsize=SMALL, color=FAINT)
        _scatter(axes, points, y, np.unique(y) if y is not None else ())
        beside(axes, title="label")
        return figure


def categories_figure(templates: np.ndarray, sizes: np.ndarray, title: str, shades: str) -> Figure:
    """The template of each category over the features, as rows of grey, whose meaning `shades` says, and how many samples each holds."""
    with drawing():
        from matplotlib.ticker import MaxNLocator

        figure, grid = panels(1, 2, size=(9.6, 1.6 + min(6.0, 0.28 * len(templates) + 1)), title=title, sharey=True, width_ratios=(2, 1))
        left, right = grid[0]
        left.imshow(templates, cmap="Greys", aspect="auto", interpolation="nearest", vmin=0, vmax=max(1.0, float(templates.max())))
        left.set(xlabel="feature", ylabel="category", title=shades)
        right.barh(range(len(sizes)), sizes, color=COLOURS[0])
        plain(right, title="samples", x="samples")
        for axis in (left.yaxis, left.xaxis, right.xaxis):
            axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return figure


def codes_figure(codes: np.ndarray, y: np.ndarray | None, title: str) -> Figure:
    """The first two numbers of each code (N, k), coloured by label; of one number, its distribution."""
    with drawing():
        figure, grid = panels(1, 1, size=(6.8, 5.0), title=title)
        axes = grid[0, 0]
        names = np.unique(y) if y is not None else ()
        if codes.shape[1] == 1:
            plain(axes, x="code z1", y="samples")
            groups = [codes[y == name, 0] for name in names] or [codes[:, 0]]
            colours = [TEN[k % len(TEN)] for k in range(len(groups))]
            axes.hist(groups, bins=30, stacked=True, color=colours, label=[str(name) for name in names] or None)
        else:
            plain(axes, x="code z1", y="code z2")
            _scatter(axes, codes[:, :2], y, names)
        beside(axes, title="label")
        return figure


def labels_for(points: np.ndarray, y: Any) -> np.ndarray | None:
    """The labels y as an array, one for each of the samples; None where there are none.

    Raises:
        UsageError: there are more or fewer.
    """
    if y is None:
        return None
    labels = np.asarray(y)
    if labels.shape != (len(points),):
        raise UsageError(f"y must have one label for each of the {len(points)} samples, got shape {labels.shape}")
    return labels
