"""Optimizers on three surfaces: a saddle, Beale's function, a narrow valley.

The optimizers are those that train networks here, given the exact gradient. Each has one rate a surface, the best of a grid for where
it is after the steps that are drawn. Sources of the surfaces: Beale, 1955; a quadratic of condition number 100; x^2 - y^2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import animation, demo_figure
from striate.drawing.style import COLOURS, DASHES, bare, below
from striate.engine.optimizers import SGD, Adagrad, Adam, NAdam, Optimizer, ParamGroup, RMSprop

STEPS, CLOSE = 300, 0.01
MARKERS = "os^Dv<P"  # one an optimizer, beside its colour and dash
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)

MAKERS: dict[str, Callable[[list[ParamGroup]], Optimizer]] = {
    "descent": SGD,
    "momentum 0.9": lambda groups: SGD(groups, momentum=0.9),
    "Nesterov 0.9": lambda groups: SGD(groups, momentum=0.9, nesterov=True),
    "Adagrad": Adagrad,
    "RMSprop": RMSprop,
    "Adam": Adam,
    "Nadam": NAdam,
}


class Surface(NamedTuple):
    """A function of x and y, the start of a path, its target, and the part that is drawn."""

    title: str
    height: Callable[[Tensor, Tensor], Tensor]
    start: tuple[float, float]
    lowest: tuple[float, float] | None  # None: the saddle has none
    frame: tuple[float, float, float, float]


def beale(x: Tensor, y: Tensor) -> Tensor:
    """Its only minimum, 0, is at (3, 0.5)."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


SURFACES = {
    "saddle": Surface("saddle: x² - y²", lambda x, y: x**2 - y**2, (-1.5, 1e-3), None, (-2.0, 2.0, -2.0, 2.0)),
    "Beale": Surface("Beale's function", beale, (1.0, 1.5), (3.0, 0.5), (-0.5, 4.2, -2.6, 2.0)),
    "valley": Surface("narrow valley: x² + 100 y²", lambda x, y: x**2 + 100 * y**2, (-1.8, 0.4), (0.0, 0.0), (-2.2, 1.2, -0.8, 0.8)),
}


def show(setting: Setting) -> Shown:
    """The path of each optimizer on each surface, and the number of steps it needs."""
    rates = (3e-3, 0.3) if setting.short else RATES
    paths = {key: {name: best(surface, name, rates) for name in MAKERS} for key, surface in SURFACES.items()}
    rows = []
    for name in MAKERS:
        found = [steps_to(SURFACES[key], paths[key][name][1]) for key in SURFACES]
        rows.append((name, *found, *(f"{paths[key][name][0]:g}" for key in SURFACES)))
    return Shown(
        tables=(
            Table(
                title=f"Steps, of {STEPS}: off the saddle to |y| > 1; to within {CLOSE:g} of the minimum of the others",
                heading=("optimizer", *SURFACES, *(f"rate, {key}" for key in SURFACES)),
                rows=tuple(rows),
            ),
            ridge(),
        ),
        notes=(
            "On the ridge of the saddle the gradient along y is exactly 0: without noise no optimizer ever leaves it.",
            "Optimizers that divide by the size of each gradient escape at once where momentum must first build up speed.",
        ),
        pictures={"optimizers.gif": lambda: draw(paths, frames=2 if setting.short else 50)},
    )


def path_of(surface: Surface, make: Callable[[list[ParamGroup]], Optimizer], rate: float, *, noise: Tensor | None = None) -> np.ndarray:
    """The places (STEPS + 1, 2), with `noise` (STEPS,) on the slope along y; a path that leaves the neighbourhood stays where it left."""
    place = nn.Parameter(torch.tensor(surface.start, dtype=torch.float64))
    optimizer = make([ParamGroup("place", [place], 0.0)])
    places = [place.detach().clone().numpy()]
    for step in range(STEPS):
        (place.grad,) = torch.autograd.grad(surface.height(place[0], place[1]), place)
        if noise is not None:
            place.grad[1] += noise[step]
        optimizer.step(rate)
        now = place.detach().clone().numpy()
        inside = bool(np.isfinite(now).all() and np.abs(now).max() < 50)
        places.append(now if inside else places[-1])
        if not inside:
            with torch.no_grad():
                place.copy_(torch.from_numpy(places[-1]))
    return np.array(places)


def best(surface: Surface, name: str, rates: tuple[float, ...]) -> tuple[float, np.ndarray]:
    """The rate of the fewest steps, of those the one that ends lowest; and its path."""
    paths = [(rate, path_of(surface, MAKERS[name], rate)) for rate in rates]

    def rank(item: tuple[float, np.ndarray]) -> tuple[float, float]:
        steps = steps_to(surface, item[1])
        return STEPS + 1.0 if isinstance(steps, str) else float(steps), far(surface, item[1][-1])

    return min(paths, key=rank)


def far(surface: Surface, place: np.ndarray) -> float:
    """The distance to the minimum; on the saddle, to |y| = 1."""
    return float(max(0.0, 1 - abs(place[1]))) if surface.lowest is None else float(np.hypot(*(place - surface.lowest)))


def steps_to(surface: Surface, path: np.ndarray) -> int | str:
    """The first step from which on the path is there; "-" if it never is."""
    away = np.array([far(surface, place) for place in path]) > (0 if surface.lowest is None else CLOSE)
    last = int(np.flatnonzero(away).max(initial=-1))
    return "-" if last == STEPS else last + 1


def ridge() -> Table:
    """Started exactly on the ridge, where dy = 0: |y| after all steps, without and with noise on the gradient."""
    surface = SURFACES["saddle"]._replace(start=(-1.5, 0.0))
    noise = 1e-6 * torch.randn(STEPS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = []
    for name in ("descent", "momentum 0.9", "Adam"):
        quiet, noisy = (path_of(surface, MAKERS[name], 0.01, noise=some) for some in (None, noise))
        rows.append((name, float(abs(quiet[-1, 1])), float(np.abs(noisy[:, 1]).max())))
    return Table(
        title=f"On the ridge of the saddle, {STEPS} steps at rate 0.01",
        heading=("optimizer", "|y|", "|y| with noise of 1e-6"),
        rows=tuple(rows),
    )


def draw(paths: dict[str, dict[str, tuple[float, np.ndarray]]], *, frames: int) -> bytes:
    """All paths as they grow, as a GIF: faster at the start."""
    chosen = sorted({round(STEPS * share**2) for share in np.linspace(0.0, 1.0, frames)})
    with demo_figure(12, 4.7) as figure:
        lines = {}
        for axes, (key, surface) in zip(figure.subplots(1, 3), SURFACES.items(), strict=True):
            left, right, low, high = surface.frame
            x, y = torch.meshgrid(torch.linspace(left, right, 160), torch.linspace(low, high, 160), indexing="xy")
            z = surface.height(x, y).numpy()
            shown = z if surface.lowest is None else np.log10(z + 1e-2)
            bare(axes, title=surface.title)
            axes.contourf(x, y, shown, levels=18, cmap="Greys", alpha=0.45)
            axes.plot(*surface.start, "o", color="#222222", markersize=6)
            if surface.lowest is not None:
                axes.plot(*surface.lowest, "*", color="#222222", markersize=13)
            for place, name in enumerate(MAKERS):
                kind = {"color": COLOURS[place], "linestyle": DASHES[place % len(DASHES)]}
                (line,) = axes.plot([], [], linewidth=1.8, **kind)
                (tip,) = axes.plot([], [], marker=MARKERS[place], markersize=8, markeredgecolor="white", label=name, **kind)
                lines[key, name] = line, tip
            axes.set(xlim=(left, right), ylim=(low, high), xlabel="x", ylabel="y")
        handles = [lines["valley", name][1] for name in MAKERS]
        below(figure, handles, list(MAKERS))
        heading = figure.suptitle(" ", x=0.01, ha="left")

        def frame(index: int) -> None:
            step = chosen[index]
            heading.set_text(f"step {step}: from the dot, each with its best rate; lighter is lower, the star the minimum")
            for (key, name), (line, tip) in lines.items():
                path = paths[key][name][1][: step + 1]
                line.set_data(*path.T)
                tip.set_data(path[-1:, 0], path[-1:, 1])

        return animation(figure, frame, len(chosen), frame_ms=120)
