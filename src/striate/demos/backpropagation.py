"""Error back-propagation by hand: one update of a small network, with every number on the way.

Source: Rumelhart, Hinton and Williams, 1986, for the rule; the network, its weights and the sample are those of Han and Kamber, "Data
Mining", section 9.2, whose numbers have three digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from striate.demos.shown import Cell, Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, bare, png_bytes
from striate.estimators.neurons.explained import Step, explain_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# units 1 to 3 are the inputs, 4 and 5 hidden, 6 is the output
COEFS = (np.array([[0.2, -0.3], [0.4, 0.1], [-0.5, 0.2]]), np.array([[-0.3], [-0.2]]))
INTERCEPTS = (np.array([-0.4, 0.2]), np.array([0.1]))
SAMPLE, TARGET, RATE = (1.0, 0.0, 1.0), 1.0, 0.9
PLACES = {1: (0.0, 2.0), 2: (0.0, 1.0), 3: (0.0, 0.0), 4: (1.5, 1.6), 5: (1.5, 0.4), 6: (3.0, 1.0)}  # of the units in the picture


def show(setting: Setting) -> Shown:  # nothing here is drawn by chance
    """One step forward, backward, and of the weights; then the same sample again, a hundred times."""
    step = explain_step(COEFS, INTERCEPTS, SAMPLE, TARGET, learning_rate=RATE)
    return Shown(
        tables=(
            Table(
                title="Forward: net I = sum of weight x output below + bias, O = 1 / (1 + e^-I). Backward: its Err",
                heading=("unit", "net I", "output O", "error Err", "Err is"),
                rows=units(step),
            ),
            Table(
                title=f"The update: weight + rate x Err above x O below, with a rate of {RATE:g}",
                heading=("weight", "before", "rate x Err x O", "by autograd", "after"),
                rows=updates(step),
            ),
            Table(title="Repeated updates on the same sample", heading=("updates", "output", "wanted", "loss"), rows=repeated()),
        ),
        notes=(
            f"The sample is {', '.join(f'{x:g}' for x in SAMPLE)}, and the target is {TARGET:g}.",
            "The errors of hidden units use the weights before the update.",
            "Autograd is torch's: it is given only the loss (T - O)^2 / 2, not the rule.",
            "For a network of your own: MultilayerPerceptron(...).fit(X, y).explain_step(x, target).",
        ),
        pictures={"backpropagation.png": lambda: draw(step)},
    )


def units(step: Step) -> tuple[tuple[Cell, ...], ...]:
    """Net input, output and error of units 4, 5 and 6, with the error's formula."""
    (net4, net5), (net6,) = step.nets
    (out4, out5), (out6,) = step.outputs
    (err4, err5), (err6,) = step.errors
    return (
        ("4", float(net4), float(out4), float(err4), "O4 (1 - O4) Err6 w46"),
        ("5", float(net5), float(out5), float(err5), "O5 (1 - O5) Err6 w56"),
        ("6", float(net6), float(out6), float(err6), "O6 (1 - O6) (T - O6)"),
    )


def named(coefs: tuple[np.ndarray, ...], intercepts: tuple[np.ndarray, ...]) -> dict[str, float]:
    """Each weight by the units that it joins, then each bias by its unit."""
    (hidden, output), (b_hidden, b_output) = coefs, intercepts
    weights = {f"w{i}{j}": float(hidden[i - 1, j - 4]) for i in (1, 2, 3) for j in (4, 5)}
    weights |= {"w46": float(output[0, 0]), "w56": float(output[1, 0])}
    return weights | {"b4": float(b_hidden[0]), "b5": float(b_hidden[1]), "b6": float(b_output[0])}


def updates(step: Step) -> tuple[tuple[Cell, ...], ...]:
    """Of each weight: its value, its change by the rule and by torch's gradient, its new value."""
    before, after, gradient = named(COEFS, INTERCEPTS), named(step.coefs, step.intercepts), named(*autograd())
    return tuple((name, old, after[name] - old, 0.0 - RATE * gradient[name], after[name]) for name, old in before.items())


def autograd() -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The gradients of (T - O)^2 / 2 by torch, for the weights and for the biases."""
    leaves = [torch.tensor(part, requires_grad=True) for part in (*COEFS, *INTERCEPTS)]
    hidden = torch.sigmoid(torch.tensor(SAMPLE, dtype=torch.float64) @ leaves[0] + leaves[2])
    output = torch.sigmoid(hidden @ leaves[1] + leaves[3])
    ((TARGET - output) ** 2 / 2).sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    first, second, third, fourth = (leaf.grad.numpy() for leaf in leaves if leaf.grad is not None)
    return (first, second), (third, fourth)


def repeated() -> tuple[tuple[Cell, ...], ...]:
    """The answer and its loss before the first, second, eleventh and 101st update."""
    coefs, intercepts, rows = COEFS, INTERCEPTS, []
    for done in range(101):
        step = explain_step(coefs, intercepts, SAMPLE, TARGET, learning_rate=RATE)
        if done in (0, 1, 10, 100):
            rows.append((str(done), float(step.outputs[1][0]), TARGET, step.loss or 0.0))
        coefs, intercepts = (step.coefs[0], step.coefs[1]), (step.intercepts[0], step.intercepts[1])
    return tuple(rows)


def draw(step: Step) -> bytes:
    """The network three times: its outputs, its errors, its new weights; as a PNG."""
    before, after = named(COEFS, INTERCEPTS), named(step.coefs, step.intercepts)
    inputs = {str(unit): f"{x:g}" for unit, x in enumerate(SAMPLE, start=1)}
    outputs = {str(unit): f"{o:.3f}" for unit, o in enumerate(np.concatenate(step.outputs), start=4)}
    errors = {str(unit): f"{e:.4f}" for unit, e in enumerate(np.concatenate(step.errors), start=4)}
    with demo_figure(12.8, 4.6) as figure:
        forward, backward, update = figure.subplots(1, 3)
        network(forward, inputs | outputs, before, title="1  forward: the output of each unit")
        network(backward, errors, before, title=f"2  backward: errors, from T - O = {TARGET - step.outputs[1][0]:.3f} at unit 6", back=True)
        network(update, {}, after, title=f"3  new weights: what {RATE:g} Err O changed in colour", old=before)
        return png_bytes(figure)


def network(
    axes: Axes, values: dict[str, str], weights: dict[str, float], *, title: str, back: bool = False, old: dict[str, float] | None = None
) -> None:
    """Units as circles with a value each, joined by their weights; those that differ from the `old` ones are in colour.

    On the way `back`, only the weights above the hidden units count.
    """
    for name in (name for name in weights if name[0] == "w"):
        (x0, y0), (x1, y1) = PLACES[int(name[1])], PLACES[int(name[2])]
        changed = old is not None and weights[name] != old[name]
        colour = COLOURS[1] if changed else "#b8b8b8"
        if back and name[2] != "6":
            axes.plot([x0, x1], [y0, y1], color="#ececec", linewidth=1.2, zorder=0)
            continue
        start, end = ((x1, y1), (x0, y0)) if back else ((x0, y0), (x1, y1))
        arrow = {"arrowstyle": "->", "color": colour, "linewidth": 1.4, "shrinkA": 21, "shrinkB": 21}
        axes.annotate("", end, start, arrowprops=arrow)
        along = 0.5 if name[2] == "6" else 0.36 if name[1] != "2" else 0.28  # where lines do not cross
        place = (x0 + along * (x1 - x0), y0 + along * (y1 - y0))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.text(*place, f"{weights[name]:.3g}", fontsize=8.5, ha="center", va="center", bbox=box, color=colour if changed else "#333333")
    for unit, (x, y) in PLACES.items():
        axes.plot([x], [y], "o", markersize=40, markerfacecolor="#eef3f9", markeredgecolor=COLOURS[0])
        value = values.get(str(unit))
        axes.text(x, y, f"unit {unit}\n{value}" if value else f"unit {unit}", fontsize=8.5, ha="center", va="center")
        if unit > 3 and not back:
            bias = f"b{unit}"
            changed = old is not None and weights[bias] != old[bias]
            axes.text(x, y + 0.36, f"bias {weights[bias]:.3g}", fontsize=8.5, ha="center", color=COLOURS[1] if changed else "#333333")
    bare(axes, title=title)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(-0.5, 3.5), ylim=(-0.5, 2.5))
