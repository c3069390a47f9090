"""Adaptive resonance: vigilance sets how many categories form, and how large each may be.

Sources: Carpenter and Grossberg, 1987 (ART 1); Carpenter, Grossberg and Rosen, 1991 (fuzzy ART). A category of fuzzy ART is a box whose
sides sum to at most n (1 - vigilance).
"""

from __future__ import annotations

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, below, plain, png_bytes
from striate.estimators.resonance.art1 import ART1
from striate.estimators.resonance.fuzzy_art import FuzzyART

PATTERNS = ("1100001", "0011110", "1011110", "0001110", "1101110")
BINARY_VIGILANCE = (0.3, 0.7, 0.9)
VIGILANCE = (0.0, 0.5, 0.7, 0.8, 0.9)
DRAWN = (0.5, 0.7, 0.8, 0.9)
KINDS = ("setosa", "versicolor", "virginica")


def show(setting: Setting) -> Shown:
    """Binary patterns with ART 1, and flowers with fuzzy ART, at several vigilances."""
    from sklearn.datasets import load_iris

    iris = load_iris()
    petals = iris.data[:, 2:]
    rows = []
    for vigilance in VIGILANCE:
        model, flat = FuzzyART(vigilance=vigilance).fit(iris.data), FuzzyART(vigilance=vigilance).fit(petals)
        rows.append(
            (
                f"{vigilance:g}",
                model.n_categories_,
                purity(model.labels_, iris.target),
                flat.n_categories_,
                largest(flat),
                2 * (1 - vigilance),
            )
        )
    return Shown(
        tables=(
            Table(title="ART 1 on five patterns of seven bits: the category of each", heading=("vigilance", *PATTERNS), rows=binary()),
            Table(
                title="Fuzzy ART on 150 irises; the last three columns on two of their four measures",
                heading=("vigilance", "categories", "of one kind", "on petals", "largest box", "allowed"),
                rows=tuple(rows),
            ),
        ),
        notes=(
            "Higher vigilance gives more categories. Species are not used: 'of one kind' is the share in the majority of their category.",
        ),
        pictures={"art.png": lambda: draw(petals, iris.target)},
    )


def binary() -> tuple[tuple[str | int, ...], ...]:
    """The categories of the patterns at each vigilance."""
    bits = np.array([[int(bit) for bit in pattern] for pattern in PATTERNS])
    return tuple((f"{vigilance:g}", *(int(k) for k in ART1(vigilance=vigilance).fit(bits).labels_)) for vigilance in BINARY_VIGILANCE)


def purity(categories: np.ndarray, kinds: np.ndarray) -> float:
    """The share of samples in the majority class of their category."""
    counts = np.zeros((categories.max() + 1, kinds.max() + 1))
    np.add.at(counts, (categories, kinds), 1)
    return float(counts.max(1).sum() / len(kinds))


def boxes(model: FuzzyART) -> np.ndarray:
    """The boxes (categories, 2, n): their lowest and highest corners, in the data's units."""
    low, high = np.split(model.weights_, 2, axis=1)
    span = model.data_max_ - model.data_min_
    corners: np.ndarray = model.data_min_ + span * np.stack([low, 1 - high], axis=1)
    return corners


def largest(model: FuzzyART) -> float:
    """The largest sum of a box's sides, each as a share of the data's range."""
    low, high = np.split(model.weights_, 2, axis=1)
    return float((1 - high - low).sum(1).max())


def draw(petals: np.ndarray, kinds: np.ndarray) -> bytes:
    """The boxes on two measures at four vigilances, as a PNG."""
    with demo_figure(9, 7) as figure:
        from matplotlib.patches import Rectangle

        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        for axes, vigilance in zip(panels.flat, DRAWN, strict=True):
            model = FuzzyART(vigilance=vigilance).fit(petals)
            plain(axes, title=f"vigilance {vigilance:g}: {model.n_categories_} categories")
            for low, high in boxes(model):
                axes.add_patch(Rectangle(tuple(low), *(high - low), facecolor="#00000010", edgecolor="#222222", linewidth=1.2))
            for kind, name in enumerate(KINDS):
                axes.scatter(*petals[kinds == kind].T, s=14, color=COLOURS[kind], marker="os^"[kind], label=name)
        for axes in panels[1]:
            axes.set_xlabel("petal length (cm)")
        for axes in panels[:, 0]:
            axes.set_ylabel("petal width (cm)")
        below(figure, *panels[0, 0].get_legend_handles_labels())
        return png_bytes(figure)
