"""Squared error and cross-entropy as terrains over two weights, and softmax beside the hard maximum.

Sources: Glorot and Bengio, 2010, "Understanding the difficulty of training deep feedforward neural networks", Figure 5 (the terrains);
Bridle, 1990 (softmax).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, plain, png_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = np.array([[1.0, 0.5], [-0.5, 1.0], [-1.0, -0.5], [0.5, -1.0]])
TARGETS = np.array([1.0, 1.0, 0.0, 0.0])
AXIS = np.linspace(-8, 8, 65)  # of each weight
FAR = (-6.0, -6.0)  # weights that get every point wrong
SCORES = np.array([1.0, 2.0, 3.0, 2.5])
TEMPERATURES = (2.0, 1.0, 0.25)


def show(setting: Setting) -> Shown:
    """The two losses of one sigmoid unit at all weights, and the probabilities of four scores."""
    surfaces = {name: terrain(name) for name in ("squared error", "cross-entropy")}
    return Shown(
        tables=(
            Table(
                title=f"One sigmoid unit, four points; slopes by central differences; far off: weights {FAR}",
                heading=("loss", "lowest", "highest", "steepest slope", "slope far off"),
                rows=tuple((name, float(z.min()), float(z.max()), steepest(z), slope_at(name, FAR)) for name, z in surfaces.items()),
            ),
            Table(
                title=f"Scores {', '.join(f'{score:g}' for score in SCORES)}",
                heading=("maximum", *(f"class {k}" for k in range(len(SCORES)))),
                rows=tuple((name, *map(float, shares)) for name, shares in maxima().items()),
            ),
        ),
        notes=(
            "Far from the answer squared error is a plateau, because the sigmoid is saturated; cross-entropy is a slope everywhere.",
            "Softmax tells how near the others are; the colder it is, the more it is the hard maximum, which has no slope to learn from.",
        ),
        pictures={"terrains.png": lambda: draw_terrains(surfaces), "softmax.png": draw_maxima},
    )


def loss(name: str, weights: np.ndarray) -> np.ndarray:
    """The mean loss (...) of the unit over the four points at weights (..., 2)."""
    sums = weights @ POINTS.T  # (..., 4)
    if name == "squared error":
        errors = 1 / (1 + np.exp(-sums)) - TARGETS
        return np.asarray((errors**2 / 2).mean(-1))
    return np.asarray((np.logaddexp(0, sums) - TARGETS * sums).mean(-1))


def terrain(name: str) -> np.ndarray:
    """The loss at each pair of weights on AXIS, (second weight, first weight)."""
    return loss(name, np.stack(np.meshgrid(AXIS, AXIS), -1))


def steepest(surface: np.ndarray) -> float:
    """The largest slope between neighbours of a terrain."""
    return float(np.hypot(*np.gradient(surface, AXIS, AXIS)).max())


def slope_at(name: str, place: tuple[float, float]) -> float:
    """The length of the gradient at one pair of weights."""
    step = 1e-5
    ways = (np.array([step, 0.0]), np.array([0.0, step]))
    return float(np.hypot(*((loss(name, np.array(place) + way) - loss(name, np.array(place) - way)) / (2 * step) for way in ways)))


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """exp(s / T) over its sum."""
    powers = np.exp((scores - scores.max()) / temperature)
    return np.asarray(powers / powers.sum())


def maxima() -> dict[str, np.ndarray]:
    """The probabilities of SCORES by softmax at each temperature, and by the hard maximum."""
    soft = {f"softmax, T = {temperature:g}": softmax(SCORES, temperature) for temperature in TEMPERATURES}
    return {**soft, "hard maximum": np.eye(len(SCORES))[SCORES.argmax()]}


def draw_terrains(surfaces: dict[str, np.ndarray]) -> bytes:
    """Both terrains side by side on one scale, as a PNG."""
    with demo_figure(13, 4.6) as figure:
        top = max(surface.max() for surface in surfaces.values())
        for place, (name, surface) in enumerate(surfaces.items(), 1):
            _surface(figure, place, name, surface, top=top)
        own = surfaces["squared error"]
        _surface(figure, 3, "squared error, its own scale", own, top=own.max())
        return png_bytes(figure)


def _surface(figure: Figure, place: int, name: str, surface: np.ndarray, *, top: float) -> None:
    axes: Any = figure.add_subplot(1, 3, place, projection="3d")
    axes.plot_surface(
        *np.meshgrid(AXIS, AXIS), surface, cmap="viridis", vmin=0, vmax=top, rcount=40, ccount=40, linewidth=0.2, edgecolor="#ffffff"
    )
    axes.set(xlabel="weight 1", ylabel="weight 2", zlim=(0, top))
    axes.set_title(f"loss: {name}", y=0.97)
    axes.view_init(elev=24, azim=30)
    axes.set_box_aspect((1, 1, 0.8), zoom=0.95)


def draw_maxima() -> bytes:
    """The probabilities as bars, as a PNG."""
    with demo_figure(11, 3.2) as figure:
        found = maxima()
        panels = figure.subplots(1, len(found) + 1)
        plain(panels[0], title="scores")
        panels[0].bar(range(len(SCORES)), SCORES, color="#999999")
        for axes, (name, shares) in zip(panels[1:], found.items(), strict=True):
            plain(axes, title=name)
            bars = axes.bar(range(len(shares)), shares, color=COLOURS[0])
            axes.bar_label(bars, fmt="{:.2f}", fontsize=8, padding=1)
            axes.set_ylim(0, 1.12)
        for axes in panels:
            axes.set_xticks(range(len(SCORES)))
            axes.set_xlabel("class")
            axes.grid(visible=False, axis="x")
        return png_bytes(figure)
