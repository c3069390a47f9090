"""Epochs of photos from files beside torchvision's `ImageFolder`: `files PHOTOS [--copies N] [--rounds N]`.

PHOTOS is a folder with a folder of photos for each class; each photo is saved --copies times with another quality, so that no two files are
alike. Beside it: ImageFolder, DataLoader with two workers, RandomResizedCrop of 224 pixels and a flip, as torchvision's training reference
has it. Ours decodes each file once, to 224 x 224, and cuts and flips whole batches of what it kept; the first epoch decodes, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sheet import Sheet, spread, write_sheet
from throughput import AREA, ratio

from striate.core.images import STATISTICS, ImageSpec
from striate.data.augmentation.record import Augmentation
from striate.data.batches import Batches
from striate.data.decode import decode_image
from striate.data.fitting import fit_image
from striate.data.sources import open_data

SIDE, BATCH_SIZE, WORKERS = 224, 32, 2


def main() -> None:
    """Measure, round after round, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of folders of photos")
    parser.add_argument("--copies", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    write_sheet(*files(arguments.photos, arguments.copies, arguments.rounds))


def files(photos: Path, copies: int, rounds: int) -> Sheet:
    """Epochs of both, round after round."""
    with tempfile.TemporaryDirectory() as place, kept_in(Path(place)) as keep:
        folder = Path(place) / "photos"
        count = copied(photos, folder, copies)
        theirs, first, later = [], [], []
        for turn in range(rounds):
            keep(turn)
            theirs.append(count / seconds(lambda: torchvision_epoch(folder)))
            first.append(count / seconds(lambda: epoch_of_files(folder)))
            later.append(count / seconds(lambda: epoch_of_files(folder)))
            print(f"torchvision {theirs[-1]:.0f}, first {first[-1]:.0f}, kept {later[-1]:.0f} images/s", flush=True)
        inside = batches_of(folder)
        epochs = [count / seconds(lambda: [None for _ in inside.epoch(1)]) for _ in range(rounds)]
        difference = distance_of_fits(sorted(folder.glob("*/*"))[::copies])
    rows = [
        ["ImageFolder, DataLoader(2), RandomResizedCrop, flip", spread(theirs, ",.0f"), ""],
        ["Striate, an epoch that decodes the files and keeps them", spread(first, ",.0f"), ratio(first, theirs)],
        ["Striate, an epoch of a later run, from opening the folder", spread(later, ",.0f"), ratio(later, theirs)],
        ["Striate, each further epoch of a run", spread(epochs, ",.0f"), ratio(epochs, theirs)],
    ]
    notes = [
        f"{count:,} JPEG files of {photos.resolve().name}; batches of {BATCH_SIZE} of {SIDE} x {SIDE}.",
        f"Crops of {AREA[0]:.0%} to all of the area; two workers on each side.",
        f"Median (smallest to largest) of {rounds} rounds.",
        f"Scaled JPEG decoding beside a decoding in full, without a crop: mean difference {difference:.2f} of 255.",
    ]
    return Sheet("files", "Photos from files beside torchvision", [["epoch", "images/s", "ratio"], *rows], notes)


@contextlib.contextmanager
def kept_in(place: Path) -> Iterator[Callable[[int], None]]:
    """Context whose value has decoded photos kept in a new folder each time; afterwards they are kept where they were."""
    before = os.environ.get("STRIATE_DATA")

    def keep(turn: int) -> None:
        os.environ["STRIATE_DATA"] = str(place / f"kept{turn}")

    try:
        yield keep
    finally:
        os.environ.pop("STRIATE_DATA", None)
        if before is not None:
            os.environ["STRIATE_DATA"] = before


def copied(photos: Path, folder: Path, copies: int) -> int:
    """Save each photo some times, with another quality each time; returns the number of files."""
    found = sorted(path for path in photos.glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg"))
    for path in found:
        place = folder / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            for number in range(copies):
                image.convert("RGB").save(place / f"{path.stem}_{number}.jpg", quality=95 - number)
    return len(found) * copies


def seconds(run: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def torchvision_epoch(folder: Path) -> None:
    """An epoch of the usual loader."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    mean, std = STATISTICS["imagenet"]
    steps = [v2.RandomResizedCrop(SIDE, scale=AREA, antialias=True), v2.RandomHorizontalFlip(), v2.ToImage()]
    transform = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    for _ in DataLoader(ImageFolder(str(folder), transform), BATCH_SIZE, shuffle=True, num_workers=WORKERS):
        pass


def batches_of(folder: Path) -> Batches:
    """The batches of a run on the folder."""
    mean, std = STATISTICS["imagenet"]
    spec = ImageSpec(height=SIDE, width=SIDE, channels=3, mean=mean, std=std)
    pictures = open_data(folder).read("train", spec=spec)
    augmentation = Augmentation(resized_crop=AREA, flip=True)
    return Batches(pictures, BATCH_SIZE, shuffle=True, augmentation=augmentation, workers=WORKERS)


def epoch_of_files(folder: Path) -> None:
    """An epoch of ours, from the folder to the normalized pictures of its last batch."""
    mean, std = (torch.tensor(values) for values in STATISTICS["imagenet"])
    for batch in batches_of(folder).epoch(1):
        (batch.images.float() / 255 - mean) / std


def distance_of_fits(paths: list[Path]) -> float:
    """The mean difference of our pixels from those of whole pictures, decoded in full and fitted."""
    spec = ImageSpec(height=SIDE, width=SIDE, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)
    found = []
    for path in paths[:100]:
        with Image.open(path) as image:
            whole = fit_image(np.asarray(image.convert("RGB")), spec)
        found.append(np.abs(decode_image(path, spec).astype(int) - whole).mean())
    return float(np.mean(found))


if __name__ == "__main__":
    main()
