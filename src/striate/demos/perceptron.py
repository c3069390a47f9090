"""The perceptron's line, moved by each mistake; the gates it can learn, and the one it cannot.

Sources: Rosenblatt, 1958; the bound on its updates, (R / margin)^2, from Novikoff, 1962.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import animation, demo_figure, stages
from striate.drawing.style import COLOURS, TINTS, plain
from striate.estimators.neurons.perceptron import Perceptron
from striate.estimators.neurons.svm import LinearSVM

SQUARE = [[0, 0], [0, 1], [1, 0], [1, 1]]
GATES = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "NAND": [1, 1, 1, 0], "NOR": [1, 0, 0, 0], "XOR": [0, 1, 1, 0]}
XOR_EPOCHS = 100


class Line(NamedTuple):
    """The weights after an update, and the sample that caused it (none at first)."""

    w: np.ndarray
    b: float
    sample: int


def show(setting: Setting) -> Shown:
    """Learn the gates, then two clouds of points with the line drawn after every update."""
    points, labels = clouds(setting.seed)
    lines = course(points, labels)
    updates, bound = len(lines) - 1, novikoff(points, labels)
    return Shown(
        tables=(
            gates(),
            Table(
                title="Two clouds of points",
                heading=("points", "updates", "bound (R / margin)^2", "errors left"),
                rows=((len(points), updates, bound, int((fires(lines[-1], points) != labels).sum())),),
            ),
        ),
        notes=(
            f"No line separates XOR: after {XOR_EPOCHS} epochs it still makes mistakes.",
            "In the animation each mistake turns the line, until none is left.",
        ),
        pictures={"perceptron.gif": lambda: draw(points, labels, lines, frames=2 if setting.short else 60)},
    )


def gates() -> Table:
    """Each gate from zero with rate 1, samples in the order 00, 01, 10, 11."""
    rows = []
    for name, labels in GATES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # XOR's is what the table says
            gate = Perceptron(max_iter=XOR_EPOCHS).fit(SQUARE, labels)
        b, w1, w2 = (int(x) for x in (*gate.intercept_, *gate.coef_[0]))
        right = int((gate.predict(SQUARE) == labels).sum())
        rows.append((name, gate.n_iter_, gate.n_updates_, b, w1, w2, f"{right} of 4"))
    return Table(title="Gates", heading=("gate", "epochs", "updates", "b", "w1", "w2", "right"), rows=tuple(rows))


def clouds(seed: int, *, gap: float = 0.07) -> tuple[np.ndarray, np.ndarray]:
    """Points (120, 2) in a square and on which side of a slanting line they lie, none closer to it than `gap`."""
    points = np.random.default_rng(seed).uniform(-1, 1, (400, 2))
    side = points @ (0.8, -0.6) - 0.15
    points, side = points[np.abs(side) > gap][:120], side[np.abs(side) > gap][:120]
    return points, (side > 0).astype(int)


def course(points: np.ndarray, labels: np.ndarray) -> list[Line]:
    """The line before and after each update, until a pass makes none: the samples are given one at a time."""
    model, lines, passed = Perceptron(), [Line(np.zeros(2), 0.0, -1)], 0
    while passed < len(points):
        for index in range(len(points)):
            model.partial_fit(points[index : index + 1], labels[index : index + 1], classes=[0, 1])
            passed = passed + 1 if model.converged_ else 0
            if not model.converged_:
                lines.append(Line(model.coef_[0].copy(), float(model.intercept_[0]), index))
            if passed == len(points):
                break
    return lines


def novikoff(points: np.ndarray, labels: np.ndarray) -> float:
    """(R / margin)^2 of the points with a 1 beside them for the bias, the margin that of the best plane through the origin."""
    extended = np.column_stack([points, np.ones(len(points))]) * np.where(labels, 1, -1)[:, None]
    mirrored = np.vstack([extended, -extended])  # with each point's mirror image, the best plane goes through the origin
    margin = LinearSVM(C=1e6).fit(mirrored, np.repeat([1, 0], len(extended))).margin_ / 2
    return float((extended**2).sum(1).max() / margin**2)


def fires(line: Line, points: np.ndarray) -> np.ndarray:
    """1 on the side where the neuron fires, else 0."""
    firing: np.ndarray = (points @ line.w + line.b > 0).astype(int)
    return firing


def draw(points: np.ndarray, labels: np.ndarray, lines: list[Line], *, frames: int) -> bytes:
    """The line after each update, with the point that moved it ringed, and the errors that are left, as a GIF."""
    errors = [int((fires(line, points) != labels).sum()) for line in lines]
    chosen = stages(len(lines), frames)
    across = np.linspace(-1.1, 1.1, 200)
    plane = np.stack(np.meshgrid(across, across), -1)
    with demo_figure(8, 4.5) as figure:
        from matplotlib.colors import ListedColormap

        left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))

        area = left.imshow(plane[..., 0], extent=(-1.1, 1.1, -1.1, 1.1), origin="lower", cmap=ListedColormap(TINTS), vmin=0, vmax=1)
        for label, mark in ((0, "o"), (1, "s")):
            left.scatter(*points[labels == label].T, s=16, marker=mark, color=COLOURS[label], label=f"class {label}")
        (ring,) = left.plot([], [], "o", markersize=12, markerfacecolor="none", markeredgecolor="#222222", markeredgewidth=1.6)
        left.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xlabel="x1", ylabel="x2")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9, frameon=False)
        plain(right, title=" ", x="update", y="points on the wrong side")
        (curve,) = right.plot([], [], color=COLOURS[0], linewidth=1.5)
        (dot,) = right.plot([], [], "o", color=COLOURS[0])
        right.set(xlim=(-1, len(lines)), ylim=(-1, max(errors) * 1.08))

        def frame(index: int) -> None:
            update = chosen[index]
            line = lines[update]
            area.set_data(plane @ line.w + line.b > 0)
            ring.set_data(*(points[[line.sample]].T if line.sample >= 0 else ([], [])))
            what = "the ringed point moved the line" if update else "all points count as class 0"
            left.set_title(f"update {update} of {len(lines) - 1}: {what}", fontsize=10, loc="left")
            right.set_title(f"errors left: {errors[update]} of {len(points)}", fontsize=10, loc="left")
            curve.set_data(range(update + 1), errors[: update + 1])
            dot.set_data([update], [errors[update]])

        return animation(figure, frame, len(chosen), frame_ms=180)
