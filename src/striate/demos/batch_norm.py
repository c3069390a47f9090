"""Batch normalization: the values inside a deep network before and after it, and how far a training comes with and without.

Source: Ioffe and Szegedy, 2015, arXiv:1502.03167.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.seeds import torch_seed
from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import small_digits
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, TINTS, beside, plain, png_bytes

DEPTH, WIDTH = 10, 64
LOOKED_AT = (1, 5, 10)  # layers, from 1
RATE, MOMENTUM = 0.1, 0.9
SPREAD = 6  # of the weights: six times too large
SHOWN = 16  # values up to which the histograms reach


def show(setting: Setting) -> Shown:
    """A network of ten tanh layers whose start is too large, without and with batch normalization before each tanh."""
    images, labels = small_digits()[:2]
    inputs, targets = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
    with torch_seed(setting.seed):
        plain_net = network(normalized=False)
        normed = network(normalized=True)
    before, after = inside(plain_net, inputs), inside(normed, inputs)
    losses = {name: trained(net, inputs, targets, 20 if setting.short else 150) for name, net in (("without", plain_net), ("with", normed))}
    return Shown(
        tables=(
            Table(
                title=f"What goes into the tanh of layer 1, 5 and 10 of {DEPTH} layers of {WIDTH} units, at the start",
                heading=("layer", "deviation without", "deviation with", "saturated without", "saturated with"),
                rows=tuple(
                    (str(k), float(before[k].std()), float(after[k].std()), saturated(before[k]), saturated(after[k])) for k in LOOKED_AT
                ),
            ),
            Table(
                title=f"Training loss on the scanned digits, rate {RATE:g}",
                heading=("batch normalization", "first update", "last update"),
                rows=tuple((name, curve[0], curve[-1]) for name, curve in losses.items()),
            ),
        ),
        notes=(
            "Saturated: |tanh| > 0.99, where its slope is below 0.02. Normalized, each unit has mean 0 and deviation 1 over the batch.",
        ),
        pictures={"before-after.png": lambda: draw_inside(before, after), "losses.png": lambda: draw_losses(losses)},
    )


def network(*, normalized: bool) -> nn.Sequential:
    """Ten layers of linear, normalization or none, tanh; then the classes. The weights' deviation is SPREAD / sqrt(n)."""
    sizes = [64, *[WIDTH] * DEPTH]
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise(sizes):
        linear = nn.Linear(n, m)
        nn.init.normal_(linear.weight, std=SPREAD / n**0.5)
        layers += [linear, nn.BatchNorm1d(m) if normalized else nn.Identity(), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def inside(net: nn.Sequential, inputs: Tensor) -> dict[int, np.ndarray]:
    """The values that go into the tanh of the layers looked at, in training mode."""
    found, values = {}, inputs
    with torch.no_grad():
        for place, layer in enumerate(net):
            if isinstance(layer, nn.Tanh) and place // 3 + 1 in LOOKED_AT:
                found[place // 3 + 1] = values.numpy().ravel()
            values = layer(values)
    return found


def saturated(values: np.ndarray) -> float:
    """The share of values whose tanh is flat."""
    return float((np.abs(np.tanh(values)) > 0.99).mean())


def trained(net: nn.Sequential, inputs: Tensor, labels: Tensor, updates: int) -> list[float]:
    """The loss of each update of the whole set."""
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
    curve = []
    for _ in range(updates):
        loss = F.cross_entropy(net(inputs), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        curve.append(float(loss.detach()))
    return curve


def draw_inside(before: dict[int, np.ndarray], after: dict[int, np.ndarray]) -> bytes:
    """Histograms of what goes into each tanh looked at, above without, below with normalization, as a PNG."""
    with demo_figure(11, 5.4) as figure:
        panels = figure.subplots(2, len(LOOKED_AT), sharex=True)
        for row, (name, values) in zip(panels, (("before", before), ("after batch normalization", after)), strict=True):
            for axes, layer in zip(row, LOOKED_AT, strict=True):
                plain(axes, title=f"layer {layer}, {name}")
                axes.axvspan(-SHOWN, -2.65, color=TINTS[1], label="tanh is flat")
                axes.axvspan(2.65, SHOWN, color=TINTS[1])
                axes.hist(values[layer], bins=80, range=(-SHOWN, SHOWN), density=True, color=COLOURS[0], label="values")
                axes.set_xlim(-SHOWN, SHOWN)
        for axes in panels[-1]:
            axes.set_xlabel("value that goes into tanh")
        for axes in panels[:, 0]:
            axes.set_ylabel("density")
        beside(panels[0, -1])
        return png_bytes(figure)


def draw_losses(losses: dict[str, list[float]]) -> bytes:
    """Both curves, as a PNG."""
    with demo_figure(7, 3.6) as figure:
        axes = figure.subplots()
        plain(axes, title="training loss", x="update", y="loss, nats")
        for colour, (name, curve) in zip(COLOURS[1::-1], losses.items(), strict=True):
            axes.plot(range(1, len(curve) + 1), curve, color=colour, linewidth=2, label=f"{name} batch norm")
        beside(axes)
        return png_bytes(figure)
