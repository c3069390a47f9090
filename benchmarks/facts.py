"""Facts that every course teaches, with numbers: `facts [variance|batch_norm|noise|starts|degradation ...] [--steps N] [--seeds N]`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import statistics
from collections.abc import Callable

import numpy as np
import torch
from sheet import spread, write_sheet
from torch import nn
from torch.nn import functional as F

import striate
from striate.core.errors import NumericError
from striate.core.images import ImageSpec
from striate.core.intervals import Interval, Paired, paired_difference, t_interval
from striate.core.seeds import mixed, torch_seed
from striate.data.batches import Batches
from striate.data.records import ImageSet
from striate.data.sources import open_data
from striate.engine.epochs import EpochRow
from striate.engine.fit import fit
from striate.engine.initialisation import initialise
from striate.engine.settings import InitName, TrainSettings
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, GlobalPool, Layer, Linear, Pool
from striate.networks.modules.image import ImageModule
from striate.networks.network import Network

Table = list[list[str]]


# ---- training a network from a given start


@functools.cache
def pictures(name: str, count: int, size: int) -> ImageSet:
    """The first `count` training pictures of a set, padded or scaled to `size` x `size` pixels."""
    source = open_data(name)
    plain = (0.5,) * source.channels
    spec = ImageSpec(height=size, width=size, channels=source.channels, mean=plain, std=plain, fit="pad")
    return source.read("train", spec=spec).take(np.arange(count))


def trained(network: Network, images: ImageSet, scheme: InitName, settings: TrainSettings) -> EpochRow | None:
    """The last row of a training, None where it diverged. Its training columns are of batches in training mode, before their update."""
    _, height, width, channels = images.images.shape
    flat = images.images.reshape(-1, channels) / 255
    spec = ImageSpec(height=height, width=width, channels=channels, mean=tuple(flat.mean(0)), std=tuple(flat.std(0)))
    with torch_seed(mixed(settings.seed)):
        module = network.build()
        sample = ImageModule(module, spec).normalized(torch.from_numpy(images.images[:64].copy()))
        initialise(module, scheme, images=sample)
    train = Batches(images, settings.batch_size, seed=settings.seed, shuffle=True)
    row = None
    try:
        for event in fit(ImageModule(module, spec), train, settings):
            row = event.row or row
    except NumericError:
        return None
    return row


def judged(rows: list[EpochRow | None]) -> list[str]:
    """Loss and accuracy of the last pass, in words."""
    if None in rows:
        return ["diverged", "diverged"]
    done = [row for row in rows if row is not None]
    return [spread([row.train_loss for row in done], ".3f"), spread([row.train_accuracy for row in done], ".3f")]


# ---- the facts


def variance(_steps: int | None, seeds: int | None) -> Table:
    """The deviation of the output of 50 layers of 256 units, and of the gradient at their input."""
    rows: Table = []
    cases: list[tuple[str, Callable[[], nn.Module], InitName, float | None, float]] = [
        ("linear", nn.Identity, "normal", 1 / 16, 1.0),
        ("linear", nn.Identity, "normal", 1.5 / 16, 1.5**50),
        ("linear", nn.Identity, "normal", 0.5 / 16, 0.5**50),
        ("linear", nn.Identity, "normal", 0.01, 0.16**50),
        ("linear", nn.Identity, "normal", 1.0, 16.0**50),
        ("linear", nn.Identity, "xavier", None, 1.0),
        ("linear", nn.Identity, "orthogonal", None, 1.0),
        ("ReLU", nn.ReLU, "xavier", None, 2.0**-25),
        ("ReLU", nn.ReLU, "he", None, 1.0),
        ("tanh", nn.Tanh, "xavier", None, math.nan),
        ("SELU", nn.SELU, "he", None, 1.0),
    ]
    for name, activation, scheme, scale, expected in cases:
        forward, backward = [], []
        for seed in range(seeds or 5):
            layers = [part for _ in range(50) for part in (nn.Linear(256, 256, dtype=torch.float64), activation())]
            model = nn.Sequential(*layers)
            with torch_seed(seed):
                initialise(model, scheme, scale=scale)
                images = torch.randn(100, 256, dtype=torch.float64, requires_grad=True)
                output = model(images)
                (gradient,) = torch.autograd.grad(output, images, torch.randn_like(output))
            forward.append(output.square().mean().sqrt().item())
            backward.append(gradient.square().mean().sqrt().item())
        start = scheme if scale is None else f"{scheme}, deviation {scale:g}"
        rows.append([name, start, "" if math.isnan(expected) else f"{expected:.2g}", spread(forward, ".2g"), spread(backward, ".2g")])
    return [["50 layers of 256 units", "start", "theory", "deviation of the output", "deviation of the gradient"], *rows]


def batch_norm(steps: int | None, seeds: int | None) -> Table:
    """The largest learning rate at which a small network learns the digits, with and without batch normalization."""
    images = pictures("digits", 1_000, 8)
    rates = [0.03 * 10 ** (k / 4) for k in range(13)]  # to 30
    limits: dict[bool, list[float]] = {False: [], True: []}
    for normalized, found in limits.items():
        network = digits_network(normalized)
        for seed in range(seeds or 3):
            learned = []
            for rate in rates:
                settings = constant_rate(rate, steps or 200, seed, batch_size=50)
                row = trained(network, images, "he", settings)
                if row is not None and row.train_loss < 0.5:
                    learned.append(rate)
            found.append(max(learned, default=math.nan))
    ratio = statistics.median(limits[True]) / statistics.median(limits[False])
    heading = ["network", "largest learning rate that brings the training loss below 0.5"]
    return [
        heading,
        ["plain", spread(limits[False])],
        ["batch normalization", spread(limits[True])],
        ["ratio of the medians", f"{ratio:.1f}"],
    ]


def digits_network(normalized: bool) -> Network:
    """Five convolutions on 8 x 8 pixels."""
    parts: dict[str, Layer] = {}
    for i in range(1, 6):
        norm: dict[str, Layer] = {"norm": BatchNorm()} if normalized else {}
        pool: dict[str, Layer] = {"pool": Pool("max", 2)} if i == 2 else {}
        parts[f"block{i}"] = Chain(conv=Conv(16, 3, padding="same", bias=not normalized), **norm, act=Activation("relu"), **pool)
    return Network("digits", (1, 8, 8), Chain(**parts, head=Chain(pool=GlobalPool("avg"), linear=Linear(10))))


def constant_rate(rate: float, steps: int, seed: int, *, batch_size: int) -> TrainSettings:
    """Plain descent on batches."""
    return TrainSettings(
        learning_rate=rate, steps=steps, batch_size=batch_size, seed=seed, schedule="constant", warmup_epochs=0, weight_decay=0, momentum=0
    )


def noise(_steps: int | None, seeds: int | None) -> Table:
    """The variance of a batch's gradient about the whole set's, times the batch size: it is the same for every size."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(2_000, 20, generator=generator), torch.randint(5, (2_000,), generator=generator)
    weight = torch.randn(5, 20, generator=generator, requires_grad=True)

    def gradient(places: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(F.cross_entropy(inputs[places] @ weight.T, labels[places]), weight)[0]

    whole = gradient(torch.arange(2_000))
    rows = []
    for size in (1, 4, 16, 64, 256, 1024):
        draws = (torch.randint(2_000, (size,), generator=generator) for _ in range(500 * (seeds or 1)))
        mean = statistics.mean((gradient(places) - whole).square().sum().item() for places in draws)
        rows.append([f"{size}", f"{mean:.3g}", f"{mean * size:.3g}"])
    return [["batch size", "variance of the gradient", "times the batch size"], *rows]


def starts(steps: int | None, seeds: int | None) -> Table:
    """The training loss of three networks, from the start that torch gives and from others."""
    rows: Table = []
    for name, data, rate in (("cifar_notes", "cifar10", 0.005), ("lenet5", "mnist", 0.005), ("googlenet_paper", "cifar10", 0.001)):
        images = pictures(data, 5_000, 32)
        network = striate.network(name, num_classes=10, in_channels=images.images.shape[3], input_size=32)
        for scheme in ("default", "xavier", "he", "orthogonal", "lsuv"):
            done = []
            for seed in range(seeds or 3):
                settings = TrainSettings(
                    optimizer="adamw", learning_rate=rate, steps=steps or 300, batch_size=64, seed=seed, weight_decay=0.01
                )
                done.append(trained(network, images, scheme, settings))
            rows.append([name, scheme, *judged(done)])
    return [["network", "start", "training loss", "training accuracy"], *rows]


def degradation(steps: int | None, seeds: int | None) -> Table:
    """The training loss of plain and residual networks of 20 and 56 layers, from the same seeds and after the same number of updates.

    He's networks for CIFAR-10 at half their width, on its first 10,000 pictures averaged to 8 x 8 pixels, without augmentation. Loss and
    accuracy are means over the last pass, with their 95 % intervals over the seeds. With shortcuts, 56 layers are behind 20 early in a
    training, so these networks are given more updates. In the paper, after 64,000, they train better.
    """
    images = averaged(pictures("cifar10", 10_000, 32), 4)
    rows: Table = []
    for family, updates in (("plain", steps or 2_500), ("resnet", steps or 4_000)):
        losses: dict[int, list[float]] = {}
        for depth in (20, 56):
            network, done = striate.network(f"{family}{depth}_cifar", input_size=8).width(0.5), []
            for seed in range(seeds or 5):
                settings = TrainSettings(steps=updates, batch_size=64, learning_rate=0.1, weight_decay=1e-4, seed=seed)
                row = trained(network, images, "he", settings)
                if row is None:
                    raise NumericError(f"{network.name} diverged from seed {seed}")
                done.append(row)
            losses[depth] = [row.train_loss for row in done]
            more = paired_difference(losses[depth], losses[20]) if depth > 20 else None
            shown = t_interval(losses[depth]), t_interval([row.train_accuracy for row in done]), more
            rows.append([f"{family}{depth}_cifar", f"{updates:,}", f"{len(done)}", *(within(interval) for interval in shown)])
    return [["network", "updates", "seeds", "training loss", "training accuracy", "loss more than with 20 layers, seed by seed"], *rows]


def within(interval: Interval | Paired | None) -> str:
    """A mean and its bounds, where there are any."""
    if interval is None:
        return ""
    mean, low, high = interval[:3]
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} ({low:.3f} to {high:.3f})"


def averaged(images: ImageSet, factor: int) -> ImageSet:
    """The same pictures `factor` times smaller: each pixel is the mean of a square."""
    count, height, width, channels = images.images.shape
    squares = images.images.reshape(count, height // factor, factor, width // factor, factor, channels)
    return dataclasses.replace(images, images=squares.mean((2, 4)).round().astype(np.uint8))


FACTS: dict[str, tuple[Callable[[int | None, int | None], Table], str]] = {
    "variance": (variance, "What 50 layers do to the variance"),
    "batch_norm": (batch_norm, "Batch normalization and the learning rate"),
    "noise": (noise, "The noise of the gradient falls with the batch size"),
    "starts": (starts, "From where a training starts"),
    "degradation": (
        degradation,
        "Degradation: 56 plain layers train far worse than 20; with shortcuts, worse by less than 0.1 or not at all",
    ),
}


def main() -> None:
    """Measure each fact and write its sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", nargs="*", default=list(FACTS))
    parser.add_argument("--steps", type=int, help="updates of each training")
    parser.add_argument("--seeds", type=int)
    arguments = parser.parse_args()
    for name in arguments.facts:
        if name not in FACTS:
            parser.error(f"no fact {name!r}; there are {', '.join(FACTS)}")
        measure, title = FACTS[name]
        write_sheet(f"facts_{name}", title, measure(arguments.steps, arguments.seeds), [" ".join((measure.__doc__ or "").split())])


if __name__ == "__main__":
    main()
