"""What the probe costs while a network trains, at its default rate: `diagnose [--updates N]`."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np
from sheet import write_sheet

from striate.core.images import ImageSpec
from striate.data.batches import Augmentation
from striate.data.records import ImageSet
from striate.engine.epochs import FitEvent
from striate.engine.settings import TrainSettings
from striate.insight.diagnose.probe import Probe
from striate.models.fitting import Fitting, fit_images
from striate.networks.catalog import network

# network, pixels a side, channels, batch size
JOBS = (("compact_cnn", 8, 1, 32), ("lenet5", 32, 1, 128), ("resnet20_cifar", 32, 3, 32), ("compact_cnn", 32, 3, 32))
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
    return fitting, iter(run.events), Probe(every=10, num_classes=10), run.module


def seconds_of(events: Iterator[FitEvent], updates: int, probe: Probe, model: object) -> tuple[list[float], list[float]]:
    """How long each of the next `updates` updates takes: those that are not looked at, and those that are."""
    plain: list[float] = []
    looked_at: list[float] = []
    with probe.watch(model):  # type: ignore[arg-type]
        before = time.perf_counter()
        for event in events:
            if event.row is not None:
                before = time.perf_counter()  # an epoch has ended
                continue
            seen = probe.after_step(event.step, event.loss, 1e-3) is not None
            if seen:
                probe.news()
            now = time.perf_counter()
            (looked_at if seen else plain).append(now - before)
            before = now
            if len(plain) + len(looked_at) == updates:
                break
    return plain, looked_at


def main() -> None:
    """Look at every tenth update of a training, and set what a look costs against the updates between two looks at the default rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=400)
    arguments = parser.parse_args()
    every = Probe().every
    table = [["network", "input", "batch", "ms an update", "ms more where it is looked at", "cost of the probe (%)", "wanted (%)"]]
    for name, side, channels, batch_size in JOBS:
        _, events, probe, model = training(name, side, channels, batch_size, arguments.updates + 60)
        seconds_of(events, 60, probe, model)  # warm up
        plain, looked_at = seconds_of(events, arguments.updates, probe, model)
        bare, more = statistics.median(plain), statistics.median(looked_at) - statistics.median(plain)
        cost = 100 * more / (every * bare)
        size = [f"{channels} x {side} x {side}", str(batch_size)]
        table.append([name, *size, f"{1000 * bare:.2f}", f"{1000 * more:.2f}", f"{cost:.2f}", f"under {100 * WANTED:g}"])
        print(f"{name} {side}: {cost:.2f} %", flush=True)
    write_sheet(
        "diagnose",
        "What the probe costs while training",
        table,
        [
            f"medians of {arguments.updates} updates of one training, a tenth of them looked at; a look includes judging what was seen",
            f"the cost is that of one look in {every} updates, the default rate; the six looks of the first 50 updates come on top once",
        ],
    )


if __name__ == "__main__":
    main()
