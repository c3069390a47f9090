"""Initialisation: how 50 layers change a signal, and why equal weights stay equal.

Sources: Glorot and Bengio, 2010 (Xavier); He et al., 2015, arXiv:1502.01852; Saxe et al., 2014, arXiv:1312.6120 (orthogonal).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from striate.core.seeds import torch_seed
from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, DASHES, beside, plain, png_bytes, powers
from striate.engine.initialisation import initialise
from striate.engine.optimizers import SGD, ParamGroup
from striate.engine.settings import InitName

DEPTH = 50
SCHEMES: tuple[InitName, ...] = ("normal", "xavier", "he", "orthogonal")
SCALES = (0.5, 1.0, 1.5)  # times the deviation 1 / sqrt(n)


def show(setting: Setting) -> Shown:
    """The standard deviation of the signal layer by layer, forward; and of the gradient, backward."""
    width = 64 if setting.short else 256
    linear = {f"{scale:g} / sqrt(n)": by_layer("linear", scale, width, setting.seed) for scale in SCALES}
    after = {f"{scheme}, {name}": by_layer(name, scheme, width, setting.seed) for name in ("relu", "tanh") for scheme in SCHEMES}
    return Shown(
        tables=(
            _table(f"linear layers of {width} units, by the deviation of the weights", linear),
            _table(f"layers of {width} units with an activation", after),
            symmetry(setting.seed),
        ),
        notes=(
            "With a standard deviation slightly off 1 / sqrt(n), the signal explodes or vanishes within 50 layers.",
            "He initialization preserves the signal through ReLU, Xavier's does not.",
            "Units that start equal get equal gradients and stay equal; random weights break this symmetry.",
        ),
        pictures={"initialisation.png": lambda: draw(linear, after)},
    )


def _table(title: str, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> Table:
    rows = tuple((name, float(forward[9]), float(forward[-1]), float(back[0])) for name, (forward, back) in curves.items())
    heading = ("start", "after 10", f"after {DEPTH}", "gradient at the first")
    return Table(title=f"Deviation of the signal, {DEPTH} {title}", heading=heading, rows=rows)


def by_layer(activation: str, start: InitName | float, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The deviation after each layer (DEPTH,), and that of the gradient there (DEPTH,), for inputs and output errors N(0, 1).

    `start` names a scheme, or is the weights' deviation in units of 1 / sqrt(n).
    """
    kinds = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}
    with torch_seed(seed):
        layers = [nn.Linear(width, width, bias=False, dtype=torch.float64) for _ in range(DEPTH)]
        model = nn.Sequential(*(nn.Sequential(layer, kinds[activation]()) for layer in layers))
        if isinstance(start, str):
            initialise(model, start)
        else:
            for layer in layers:
                nn.init.normal_(layer.weight, std=start / width**0.5)
        x = torch.randn(64, width, dtype=torch.float64)
        error = torch.randn(64, width, dtype=torch.float64)
    outputs = []
    for part in model:
        x = part(x)
        x.requires_grad_() if not x.requires_grad else x.retain_grad()
        outputs.append(x)
    gradients = torch.autograd.grad(x, outputs, error)
    return np.array([float(o.detach().std()) for o in outputs]), np.array([float(g.std()) for g in gradients])


def symmetry(seed: int, *, steps: int = 100) -> Table:
    """Twenty hidden units after 100 updates: the number that differ, and the loss."""
    rows = []
    for name, scheme in (("zero", "zero"), ("constant 0.1", "constant"), ("xavier", "xavier")):
        with torch_seed(seed):
            hidden = nn.Linear(5, 20)
            model = nn.Sequential(hidden, nn.Tanh(), nn.Linear(20, 1)).double()
            initialise(model, scheme)  # type: ignore[arg-type]  # names that the engine knows
            x = torch.randn(64, 5, dtype=torch.float64)
        y = x[:, :1] * x[:, 1:2]
        optimizer, losses = SGD([ParamGroup("all", list(model.parameters()), 0.0)]), []
        for _ in range(steps):
            loss = ((model(x) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(0.3)
            losses.append(float(loss.detach()))
        different = len(torch.unique(hidden.weight.detach().round(decimals=9), dim=0))
        rows.append((name, different, losses[0], losses[-1]))
    heading = ("start", "different units", "loss at first", f"after {steps} updates")
    return Table(title="Symmetry: 20 hidden units that learn x1 x2", heading=heading, rows=tuple(rows))


def draw(linear: dict[str, tuple[np.ndarray, np.ndarray]], after: dict[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """The deviation of signal and gradient by layer, as a PNG."""
    groups = (("linear layers", linear), ("ReLU", _of(after, "relu")), ("tanh", _of(after, "tanh")))
    with demo_figure(12, 6.8) as figure:
        panels = figure.subplots(2, 3, sharex=True)
        for column, (title, curves) in enumerate(groups):
            for row, what in enumerate(("signal", "gradient")):
                axes = panels[row, column]
                plain(axes, title=f"{what}: {title}", x="layer" if row else "", y=f"deviation of the {what}")
                for place, (name, both) in enumerate(curves.items()):
                    axes.plot(range(1, DEPTH + 1), both[row], color=COLOURS[place], linestyle=DASHES[place], linewidth=1.6, label=name)
                powers(axes, "y")
                axes.set_ylim(bottom=max(1e-16, axes.get_ylim()[0]))
                axes.axhline(1, color="#999999", linewidth=0.8)
            beside(panels[0, column], title="weights' deviation" if column == 0 else "start")
        return png_bytes(figure)


def _of(curves: dict[str, tuple[np.ndarray, np.ndarray]], activation: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name.split(",")[0]: both for name, both in curves.items() if name.endswith(activation)}
