"""What the probe costs while a network trains, at its default rate: `diagnose [--rounds N] [--block UPDATES]`."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Iterator

import numpy as np
from sheet import spread, write_sheet

from striate.core.images import ImageSpec
from striate.data.batches import Augmentation
from striate.data.records import ImageSet
from striate.engine.fit import FitEvent
from striate.engine.settings import TrainSettings
from striate.estimators.fitting import Fitting, fit_images
from striate.insight.diagnose.probe import Probe
from striate.networks.catalog import network

# network, pixels a side, channels, batch size
JOBS = (("compact_cnn", 8, 1, 32), ("lenet5", 32, 1, 128), ("compact_cnn", 32, 3, 128), ("resnet20_cifar", 32, 3, 128))
WANTED = 0.03  # share of the training time


def training(name: str, side: int, channels: int, batch_size: int, updates: int) -> tuple[Fitting, Iterator[FitEvent], Probe, object]:
    """A training on random pictures, and a probe."""
    rng = np.random.default_rng(0)
    count = 10 * batch_size
    pictures = rng.integers(0, 256, (count, side, side, channels), np.uint8)
    net = network(name, num_classes=10, in_channels=channels, input_size=side)
    images = ImageSpec(height=side, width=side, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels)
    classes = tuple("0123456789")
    random_set = ImageSet("random", "train", pictures, np.arange(count) % 10, classes, tuple(map(str, range(count))))
    settings = TrainSettings(steps=updates, batch_size=batch_size, learning_rate=1e-3)
    fitting = Fitting(network=net, images=images, classes=classes, settings=settings, augmentation=Augmentation())
    run = fit_images(fitting, random_set, None)
    return fitting, iter(run.events), Probe(num_classes=10), run.module


def seconds_of(events: Iterator[FitEvent], updates: int, probe: Probe | None, model: object) -> float:
    """The time that the next `updates` updates take."""
    watching = probe.watch(model) if probe is not None else contextlib.nullcontext()  # type: ignore[arg-type]
    started, done = time.perf_counter(), 0
    with watching:
        for event in events:
            if event.row is not None:
                continue
            if probe is not None and probe.after_step(event.step, event.loss, 1e-3) is not None:
                probe.news()
            done += 1
            if done == updates:
                break
    return time.perf_counter() - started


def main() -> None:
    """Alternate blocks of updates with and without the probe in one training, and compare neighbours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--block", type=int, default=200, help="updates with the probe, and as many without")
    arguments = parser.parse_args()
    table = [["network", "input", "batch", "ms an update without", "cost of the probe (%)", "wanted (%)"]]
    for name, side, channels, batch_size in JOBS:
        _, events, probe, model = training(name, side, channels, batch_size, 2 * (arguments.rounds + 1) * arguments.block)
        seconds_of(events, arguments.block, None, model)  # warm up
        seconds_of(events, arguments.block, probe, model)
        bare, costs = [], []
        for number in range(arguments.rounds):
            order = (None, probe) if number % 2 == 0 else (probe, None)
            times = {one is not None: seconds_of(events, arguments.block, one, model) for one in order}
            bare.append(1000 * times[False] / arguments.block)
            costs.append(100 * (times[True] / times[False] - 1))
        table.append(
            [name, f"{channels} x {side} x {side}", str(batch_size), spread(bare), spread(costs, ".2f"), f"under {100 * WANTED:g}"]
        )
        print(f"{name} {side}: {statistics.median(costs):.2f} %", flush=True)
    write_sheet(
        "diagnose",
        "What the probe costs while training",
        table,
        [
            f"blocks of {arguments.block} updates with and without the probe, alternating in one training; each pair gives one cost",
            "each block begins with a look of its own, so that a block of 200 has five looks where a training has four",
        ],
    )


if __name__ == "__main__":
    main()
