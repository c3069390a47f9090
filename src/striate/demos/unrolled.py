"""A recurrent network, folded and unrolled over time: s_t = tanh(U x_t + W s_(t-1)), o_t = V s_t, by hand and by torch.

Source: Elman, 1990, "Finding structure in time"; Werbos, 1990, "Backpropagation through time".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, TINTS, png_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 4
U, W, V = 0.8, 0.9, 1.5
INPUTS = (1.0, 0.0, 0.0, 0.0)
ROWS = {"o": 2.0, "s": 1.0, "x": 0.0}  # heights of outputs, states and inputs
RADIUS = 0.26


def show(setting: Setting) -> Shown:
    """One cell by hand over four steps: the state keeps a trace of the first input, and the gradient goes back along the same line."""
    states = unrolled()
    slopes = [float(np.prod([W * (1 - s * s) for s in states[1 : t + 1]]) * (1 - states[0] ** 2) * U) for t in range(STEPS)]
    by_torch = autograd()
    return Shown(
        tables=(
            Table(
                title=f"One cell with U = {U:g}, W = {W:g}, V = {V:g}; the input is 1 at the first step, then 0",
                heading=("step", "x", "s", "o", "ds/dx of step 1, by hand", "by autograd"),
                rows=tuple((str(t + 1), INPUTS[t], states[t], V * states[t], slopes[t], by_torch[t]) for t in range(STEPS)),
            ),
        ),
        notes=(
            "Unrolled, the network is a deep one with the same U, W and V at every step.",
            "The gradient is multiplied by W (1 - s^2) at each step back: below 1 it vanishes, which is how the network forgets.",
        ),
        pictures={"unrolled.png": draw},
    )


def unrolled() -> list[float]:
    """The state after each step."""
    states, state = [], 0.0
    for x in INPUTS:
        state = float(np.tanh(U * x + W * state))
        states.append(state)
    return states


def autograd() -> list[float]:
    """The derivative of each state by the first input, with torch's own recurrent network."""
    cell = torch.nn.RNN(1, 1, bias=False, dtype=torch.float64)
    for weight, value in zip(cell.parameters(), (U, W), strict=True):
        torch.nn.init.constant_(weight, value)
    x = torch.tensor(INPUTS, dtype=torch.float64)[:, None].requires_grad_()
    states = cell(x)[0][:, 0]  # (T,)
    return [float(torch.autograd.grad(states[t], x, retain_graph=True)[0][0, 0]) for t in range(STEPS)]


def draw() -> bytes:
    """The folded cell, and the same unrolled over four steps, as a PNG."""
    with demo_figure(11, 4) as figure:
        axes = figure.subplots()
        axes.set(xlim=(-0.9, 2 + STEPS * 1.3), ylim=(-0.6, 2.75), aspect="equal")
        axes.set_axis_off()
        _column(axes, 0.0, "")
        axes.annotate(
            "", (0.23, 1.14), (0.23, 0.86), arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=2.6", "color": COLOURS[1]}
        )
        axes.text(0.74, 1.0, "W", color=COLOURS[1], ha="center", va="center", fontsize=11)
        axes.text(0.0, 2.55, "folded", ha="center", fontsize=11)
        axes.text(1.5, 1.0, "=", ha="center", va="center", fontsize=20)
        for t in range(STEPS):
            x = 2.3 + 1.3 * t
            _column(axes, x, str(t + 1))
            if t:
                _arrow(axes, (x - 1.3 + RADIUS, 1.0), (x - RADIUS, 1.0), "W", (0.0, 0.12), COLOURS[1])
        axes.text(2.3 + 0.65 * (STEPS - 1), 2.55, "unrolled over time: the same U, W and V at each step", ha="center", fontsize=11)
        return png_bytes(figure)


def _column(axes: Axes, x: float, step: str) -> None:
    """Input, state and output of one step, with the weights between them."""
    from matplotlib.patches import Circle

    for name, y in ROWS.items():
        colour, tint = (COLOURS[1], TINTS[1]) if name == "s" else (COLOURS[0], TINTS[0])
        axes.add_patch(Circle((x, y), RADIUS, facecolor=tint, edgecolor=colour, linewidth=1.5))
        axes.text(x, y, f"{name}{step}", ha="center", va="center", fontsize=11)
    for low, high, word in ((0.0, 1.0, "U"), (1.0, 2.0, "V")):
        _arrow(axes, (x, low + RADIUS), (x, high - RADIUS), word, (-0.14, 0.0), COLOURS[0])


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], word: str, beside: tuple[float, float], colour: str) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 0})
    axes.text(
        (start[0] + end[0]) / 2 + beside[0], (start[1] + end[1]) / 2 + beside[1], word, color=colour, ha="center", va="center", fontsize=11
    )
