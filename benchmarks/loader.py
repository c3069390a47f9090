"""An epoch with batches prepared ahead beside one that prepares and computes in turn: `loader [--rounds N] [--batches N]`.

What the caller does with a batch is a matrix product, repeated until it takes as long as preparing a batch: the case in which preparing
ahead can gain most, half of the time. Both ways run on one core each, so that a machine of two cores can do both at once.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from sheet import spread, write_sheet

from striate.data.augmentation.record import Augmentation
from striate.data.batches import Batches
from striate.data.records import ImageSet

BATCH_SIZE = 128
WORKERS = (0, 1, 2)
KINDS = {
    "crop and mirror": Augmentation(crop_padding=4, flip=True),
    "turned, warped, coloured": Augmentation(
        crop_padding=4, flip=True, rotation=15.0, shear=5.0, elastic=20.0, brightness=0.4, contrast=0.4, saturation=0.4, erasing=0.25
    ),
    "trivial policy and cut-mix": Augmentation(crop_padding=4, flip=True, policy="trivial", cutmix=1.0),
}


def main() -> None:
    """Measure, round after round, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=60, help="batches an epoch")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pictures = picture_set(arguments.batches * BATCH_SIZE)
    rows = []
    for name, augmentation in KINDS.items():
        batches = {number: Batches(pictures, BATCH_SIZE, shuffle=True, augmentation=augmentation, workers=number) for number in WORKERS}
        same = len({digest(each) for each in batches.values()}) == 1
        preparing = min(seconds(batches[0], lambda: None) for _ in range(2)) / arguments.batches
        compute = work_of(preparing)
        times: dict[int, list[float]] = {number: [] for number in WORKERS}
        for _ in range(arguments.rounds):
            for number in WORKERS:
                times[number].append(seconds(batches[number], compute))
        ratios = [[one / other for one, other in zip(times[0], times[number], strict=True)] for number in WORKERS[1:]]
        cells = [f"**{statistics.median(each):.2f}** ({min(each):.2f} to {max(each):.2f})" for each in ratios]
        rows.append([name, f"{1000 * preparing:.2f}", spread(times[0]), *cells, "yes" if same else "NO"])
        print(rows[-1], flush=True)
    heading = ["augmentation", "preparing a batch, ms", "in turn, s an epoch", "1 worker, times as fast", "2 workers", "same bits"]
    notes = [
        f"{arguments.batches} batches of {BATCH_SIZE} pictures of 32 x 32 x 3; the caller computes as long as preparing a batch takes.",
        f"Median (smallest to largest) of {arguments.rounds} rounds. At best 2: all of the preparing is hidden behind the computing.",
    ]
    write_sheet("loader", "Batches prepared ahead", [heading, *rows], notes)


def picture_set(count: int) -> ImageSet:
    """Pictures of noise."""
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return ImageSet("noise", "train", images, np.arange(count) % 10, tuple("0123456789"), tuple(map(str, range(count))))


def digest(batches: Batches) -> str:
    """A hash of all that an epoch gives."""
    found = hashlib.sha256()
    for batch in batches.epoch(1):
        for tensor in batch:
            found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def work_of(wanted: float) -> Callable[[], None]:
    """A computation of about `wanted` seconds."""
    matrix = torch.ones(192, 192)
    matrix @ matrix
    started = time.perf_counter()
    for _ in range(50):
        matrix @ matrix
    times = max(1, round(wanted / ((time.perf_counter() - started) / 50)))

    def compute() -> None:
        for _ in range(times):
            matrix @ matrix

    return compute


def seconds(batches: Batches, compute: Callable[[], None]) -> float:
    """How long an epoch takes."""
    started = time.perf_counter()
    for _ in batches.epoch(1):
        compute()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
