"""Dropout: the units dropped, the ensemble that this trains, and its effect on a network with few samples.

Source: Srivastava et al., 2014, "Dropout: a simple way to prevent neural networks from overfitting"; scaled while training ("inverted").
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from striate.core.modes import evaluation_mode
from striate.core.seeds import torch_seed
from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, below, plain, png_bytes
from striate.engine.optimizers import SGD, ParamGroup
from striate.networks.layers import Activation, Chain, Dropout, Linear

UNITS, DROPPED = 10, 0.25
SAMPLES, HIDDEN = 150, 256
RATES = (0.0, 0.25, 0.5, 0.75)


def show(setting: Setting) -> Shown:
    """Ones through the layer, all sub-networks of a linear one, and digits learned from 150 samples."""
    averages, single = ensemble(setting.seed)
    epochs = 5 if setting.short else 60
    curves = {rate: learn(rate, epochs, setting.seed) for rate in RATES}
    learned: list[tuple[str | float, ...]] = [(f"{rate:g}", *(float(np.mean(curve[-3:])) for curve in curves[rate])) for rate in RATES]
    return Shown(
        tables=(
            ones(setting.seed),
            Table(
                title=f"A linear unit of {UNITS} inputs, {DROPPED:g} dropped: all {2**UNITS:,} sub-networks",
                heading=("weighted mean of all", "the whole network, in evaluation", "difference"),
                rows=((float(averages), single, abs(float(averages) - single)),),
            ),
            Table(
                title=f"Digits, {SAMPLES} to learn from, {HIDDEN} hidden units, {epochs} epochs",
                heading=("dropped", "right: learned", "right: not seen", "loss: learned", "loss: not seen"),
                rows=tuple(learned),
            ),
        ),
        notes=("Training drops units at random and scales up the rest; evaluation uses the whole network, the mean of all sub-networks.",),
        pictures={"dropout.png": lambda: draw(curves)},
    )


def ones(seed: int) -> Table:
    """10,000 ones through the layer: the share of zeros, the value of the others, and the mean."""
    x = torch.ones(1, 10_000)
    rows = []
    for rate in RATES[1:]:
        module = Dropout(rate).build((10_000,))
        with torch_seed(seed):
            y = module.train()(x)
        same = bool((module.eval()(x) == x).all())
        rows.append((f"{rate:g}", float((y == 0).float().mean()), float(y.max()), float(y.mean()), "yes" if same else "no"))
    heading = ("dropped", "share of zeros", "a one becomes", "mean", "unchanged in evaluation")
    return Table(title="10,000 ones, in training", heading=heading, rows=tuple(rows))


def ensemble(seed: int) -> tuple[float, float]:
    """The mean of w . (x mask) / keep over every mask, weighted by its probability; and w . x."""
    generator = np.random.default_rng(seed)
    weights, x = generator.normal(size=(2, UNITS))
    keep = 1 - DROPPED
    total = 0.0
    for mask in product((0, 1), repeat=UNITS):
        kept = sum(mask)
        total += keep**kept * DROPPED ** (UNITS - kept) * float(weights @ (x * mask)) / keep
    return total, float(weights @ x)


def learn(rate: float, epochs: int, seed: int) -> tuple[list[float], ...]:
    """After each epoch: accuracy and loss on training and on held-out digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    parts = train_test_split(data.data / 16, data.target, train_size=SAMPLES, stratify=data.target, random_state=0)
    few, others, labels, wanted = (torch.tensor(part, dtype=torch.float32 if part.ndim == 2 else torch.int64) for part in parts)
    described = Chain(Linear(HIDDEN), Activation("relu"), Dropout(rate), Linear(10))
    curves: tuple[list[float], ...] = ([], [], [], [])
    with torch_seed(seed):
        model = described.build((64,))
        optimizer = SGD([ParamGroup("all", list(model.parameters()), 0.0)], momentum=0.9)
        for _ in range(epochs):
            model.train()
            for batch in torch.randperm(SAMPLES).split(25):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                F.cross_entropy(model(few[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]  # torch's own
                optimizer.step(0.1)
            for curve, value in zip(curves, judged(model, (few, labels), (others, wanted)), strict=True):
                curve.append(value)
    return curves


def judged(model: nn.Module, *sets: tuple[torch.Tensor, torch.Tensor]) -> list[float]:
    """The accuracy on each set, then the loss on each."""
    with evaluation_mode(model), torch.no_grad():
        logits = [model(x) for x, _ in sets]
    right = [float((z.argmax(1) == y).float().mean()) for z, (_, y) in zip(logits, sets, strict=True)]
    return right + [float(F.cross_entropy(z, y)) for z, (_, y) in zip(logits, sets, strict=True)]


def draw(curves: dict[float, tuple[list[float], ...]]) -> bytes:
    """The curves of each training, as a PNG."""
    with demo_figure(10, 4.2) as figure:
        right, loss = figure.subplots(1, 2)
        plain(right, title="held-out digits", x="epoch", y="accuracy")
        plain(loss, title="loss: solid held-out, dashed training", x="epoch", y="loss (nats)")
        for colour, (rate, (_, unseen, learned_loss, unseen_loss)) in zip(COLOURS, curves.items(), strict=False):
            epochs = range(1, len(unseen) + 1)
            right.plot(epochs, unseen, color=colour, linewidth=1.6, label=f"{rate:g} dropped")
            loss.plot(epochs, unseen_loss, color=colour, linewidth=1.6)
            loss.plot(epochs, learned_loss, color=colour, linewidth=1.1, linestyle="--")
        below(figure, *right.get_legend_handles_labels())
        loss.set_ylim(0, 1)
        right.set_ylim(0.7, 1)
        return png_bytes(figure)
