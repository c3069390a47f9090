"""Support vector machines: the widest margin between two classes, and the effect of a kernel.

Sources: Boser, Guyon and Vapnik, 1992; Cortes and Vapnik, 1995. The four points, XOR with the kernel (1 + x . y)^2 and the numbers on
the breast cancer set are checked against the solutions by hand and against libsvm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import small_digits
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, TINTS, bare, png_bytes
from striate.estimators.neurons.svm import KernelSVM, LinearSVM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOUR = np.array([[0, 0], [2, 2], [2, 0], [3, 0]], float), np.array([-1, -1, 1, 1])
XOR = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], float), np.array([-1, 1, 1, -1])


def show(setting: Setting) -> Shown:
    """Four points by hand, XOR by a kernel, two real data sets, and plots of three margins."""
    from sklearn.datasets import make_circles, make_moons

    street = LinearSVM(C=1e6).fit(*FOUR)
    poly = KernelSVM(kernel="poly", degree=2, gamma=1, coef0=1, C=1e6).fit(*XOR)
    moons = make_moons(160, noise=0.12, random_state=setting.seed)
    circles = make_circles(160, noise=0.07, factor=0.45, random_state=setting.seed)
    panels = (
        ("by hand: the margin is 1.414 wide", FOUR, street),
        ("two moons, RBF kernel", moons, KernelSVM(gamma=1.5, C=10).fit(*moons)),
        ("two rings, RBF kernel", circles, KernelSVM(gamma=1.0, C=10).fit(*circles)),
    )
    return Shown(
        tables=(
            Table(
                title="Four points: (0,0) and (2,2) against (2,0) and (3,0)",
                heading=("w1", "w2", "b", "width 2/|w|", "multipliers a"),
                rows=((*(float(w) for w in street.coef_[0]), float(street.intercept_[0]), street.margin_, listed(street.alpha_)),),
            ),
            Table(
                title="XOR with the kernel (1 + x . y)^2",
                heading=("multipliers a", "objective", "right"),
                rows=((listed(poly.alpha_), poly.dual_objective_, f"{int((poly.predict(XOR[0]) == XOR[1]).sum())} of 4"),),
            ),
            breast_cancer(),
            digits(),
        ),
        notes=("Only the ringed points, the support vectors, determine the margin; without the others it would be the same.",),
        pictures={"svm.png": lambda: draw(panels)},
    )


def listed(numbers: np.ndarray) -> str:
    """A few numbers in one cell."""
    return " ".join(f"{number:.4g}" for number in numbers)


def breast_cancer() -> Table:
    """All 569 samples, each feature with mean 0 and deviation 1."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    X = (data.data - data.data.mean(0)) / data.data.std(0)
    rows = []
    for name, model in (("linear, C = 1", LinearSVM(C=1)), ("RBF, C = 1, gamma = 1/30", KernelSVM(C=1, gamma=1 / 30))):
        model.fit(X, data.target)
        rows.append(
            (name, model.dual_objective_, int(model.n_support_.sum()), float(model.intercept_[0]), float(model.score(X, data.target)))
        )
    heading = ("kernel", "dual objective", "support vectors", "b", "right")
    return Table(title="Breast cancer, 569 samples of 30 features, fitted on all", heading=heading, rows=tuple(rows))


def digits() -> Table:
    """Scanned digits, a quarter of them held out."""
    train, labels, test, wanted = small_digits()
    rows = []
    for name, model in (("linear, C = 1", LinearSVM(C=1)), ("RBF, C = 10, gamma = 0.05", KernelSVM(C=10, gamma=0.05))):
        model.fit(train, labels)
        rows.append((name, int(model.n_support_.sum()), float(model.score(test, wanted))))
    return Table(
        title=f"Digits: {len(train):,} for training, {len(test)} held out", heading=("kernel", "support vectors", "right"), rows=tuple(rows)
    )


def draw(panels: tuple[tuple[str, tuple[np.ndarray, np.ndarray], KernelSVM], ...]) -> bytes:
    """The decision boundary, the two edges of the margin and the support vectors of each machine, as a PNG."""
    with demo_figure(12, 4.8) as figure:
        from matplotlib.lines import Line2D

        for axes, (title, (X, y), model) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            bare(axes, title=title)
            draw_street(axes, X, y, model)
        marks = [Line2D([], [], color=colour, marker=mark, linestyle="") for colour, mark in zip(COLOURS, "os", strict=False)]
        ring = Line2D([], [], color="#222222", marker="o", markerfacecolor="none", markersize=9, linestyle="")
        border, edge = (Line2D([], [], color="#222222", linestyle=style) for style in ("-", "--"))
        names = ["class 0", "class 1", "support vector", "border: w x + b = 0", "edges of the margin: w x + b = -1 and 1"]
        figure.legend([*marks, ring, border, edge], names, loc="outside lower left", ncols=5, fontsize=9, frameon=False)
        return png_bytes(figure)


def draw_street(axes: Axes, X: np.ndarray, y: np.ndarray, model: KernelSVM) -> None:
    """One machine of two features."""
    from matplotlib.colors import ListedColormap

    centre, reach = (X.max(0) + X.min(0)) / 2, 0.62 * np.ptp(X, axis=0).max()
    across, up = (np.linspace(middle - reach, middle + reach, 200) for middle in centre)
    plane = np.stack(np.meshgrid(across, up), -1)
    sums = model.decision_function(plane.reshape(-1, 2)).reshape(200, 200)
    axes.contourf(across, up, sums > 0, levels=[-0.5, 0.5, 1.5], cmap=ListedColormap(TINTS))
    axes.contour(across, up, sums, levels=[-1, 0, 1], colors="#222222", linestyles=["--", "-", "--"], linewidths=[0.9, 1.4, 0.9])
    for label, (colour, mark) in zip(model.classes_, zip(COLOURS, "os", strict=False), strict=True):
        axes.scatter(X[y == label, 0], X[y == label, 1], s=22, color=colour, marker=mark, zorder=3)
    vectors = model.support_vectors_
    axes.scatter(vectors[:, 0], vectors[:, 1], s=90, facecolors="none", edgecolors="#222222", linewidths=1.1, zorder=4)
    axes.set_aspect("equal")
