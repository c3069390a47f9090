"""Activation functions: values, slopes, and how a saturated sigmoid slows learning.

Sources: McCulloch and Pitts, 1943 (step); LeCun et al., 1998 (scaled tanh); Nair and Hinton, 2010 (ReLU); Clevert et al., 2016 (ELU);
Klambauer et al., 2017 (SELU); Hendrycks and Gimpel, 2016 (GELU); Elfwing et al., 2017 (SiLU); Howard et al., 2019 (hard forms).
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch
from torch.nn import functional as F

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, beside, plain, png_bytes
from striate.networks.layers import Activation
from striate.networks.layers.activation import ActivationName

NAMES = tuple(name for name in get_args(ActivationName) if name != "softmax")  # which is of all channels together
AT = torch.arange(-400, 401, dtype=torch.float64) / 100


def show(setting: Setting) -> Shown:
    """Every activation of the vocabulary that acts on one number, and two losses on a saturated sigmoid."""
    curves = {name: curve(name) for name in NAMES}
    return Shown(
        tables=(
            Table(
                title="Values and slopes on [-4, 4] (rrelu as in evaluation)",
                heading=("activation", "f(-2)", "f(0)", "f(2)", "least slope", "largest slope", "monotone", "share that is flat"),
                rows=tuple(figures(name, *curves[name]) for name in NAMES),
            ),
            Table(
                title="Gradient of a sigmoid at z = -6 whose target is 1",
                heading=("loss", "gradient at z"),
                rows=tuple(saturated().items()),
            ),
        ),
        notes=("With squared error a saturated sigmoid hardly learns; with cross-entropy its gradient is output - target.",),
        pictures={"activations.png": lambda: draw(curves)},
    )


def curve(name: ActivationName) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes of the built module at AT, the slopes by autograd; a step has none."""
    module = Activation(name).build((1,)).double().eval()
    x = AT.clone().requires_grad_()
    y = module(x[:, None])[:, 0]
    slopes = torch.autograd.grad(y.sum(), x)[0] if y.requires_grad else torch.zeros_like(x)
    return y.detach().numpy(), slopes.numpy()


def figures(name: str, values: np.ndarray, slopes: np.ndarray) -> tuple[str | float, ...]:
    """One row of the table."""
    monotone = "yes" if np.diff(values).min() > -1e-12 else "no"
    flat = float((np.abs(slopes) < 0.01).mean())
    return name, float(values[200]), float(values[400]), float(values[600]), float(slopes.min()), float(slopes.max()), monotone, flat


def saturated() -> dict[str, float]:
    """The gradients of half the squared error and of cross-entropy, for the sum that goes into the sigmoid."""
    z, target = torch.tensor(-6.0, dtype=torch.float64, requires_grad=True), torch.ones((), dtype=torch.float64)
    losses = {"squared error": (z.sigmoid() - target) ** 2 / 2, "cross-entropy": F.binary_cross_entropy_with_logits(z, target)}
    return {name: float(torch.autograd.grad(loss, z)[0]) for name, loss in losses.items()}


def draw(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Each function and its slope, as a PNG."""
    with demo_figure(12, 7.2) as figure:
        panels = figure.subplots(3, -(-len(curves) // 3), sharex=True, sharey=True)
        for axes, (name, (values, slopes)) in zip(panels.flat, curves.items(), strict=False):
            plain(axes, title=name)
            axes.axhline(0, color="#999999", linewidth=0.8)
            axes.axvline(0, color="#999999", linewidth=0.8)
            axes.plot(AT, values, color=COLOURS[0], linewidth=2, label="f(x)")
            axes.plot(AT, slopes, color=COLOURS[1], linewidth=1.4, linestyle="--", label="slope")
            axes.set(xlim=(-4, 4), ylim=(-2, 3))
        figure.supxlabel("x", fontsize=9)
        figure.supylabel("f(x), and its slope", fontsize=9)
        for axes in panels.flat[len(curves) :]:
            axes.axis("off")
        for axes in panels.flat[len(curves) - panels.shape[1] : len(curves)]:  # the lowest of each column
            axes.tick_params(labelbottom=True)
        beside(panels[0, -1], handles=panels[0, 0].lines[2:], names=("f(x)", "slope"))
        return png_bytes(figure)
