"""Few photos: accuracy in folds, the speed of features, and the time of `striate train` to its run folder: `few_photos PHOTOS [...]`.

PHOTOS is a folder with a folder of photos for each class; the sheet has 5 kinds of flowers, 80 each. Ratios are of turns.
Beside it: the same network in timm, scikit-learn on raw pixels, and with --scratch SECONDS what training from scratch reaches in that time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sheet import spread, write_sheet

from striate.core.images import ImageSpec
from striate.core.intervals import wilson_interval
from striate.data.sources import open_data
from striate.models.builtin import MEAN, STD, WHEELS, builtin_tensors
from striate.models.features import features
from striate.models.linear_head import USUAL_STRENGTH, divisions, fit_linear_head, head_folds, out_of_fold
from striate.networks.catalog import network
from striate.networks.modules.image import ImageModule
from striate.workflows.training.starting import SIDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.data.records import ImageSet

NAME = next(iter(WHEELS))
USUAL_SIDE = 224  # pixels, of timm's loop
TIMED = 64  # photos of a turn
RAW_SIDE = 32  # pixels of the pictures that scikit-learn gets


def main() -> None:
    """Measure, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--turns", type=int, default=5, help="of each side of a ratio")
    parser.add_argument("--scratch", type=int, default=0, metavar="SECONDS", help="also train from scratch for so long")
    arguments = parser.parse_args()
    rows = [*accuracy_rows(arguments.photos), *speed_rows(arguments.photos, arguments.turns), *time_rows(arguments.photos)]
    if arguments.scratch:
        rows.append(scratch_row(arguments.photos, arguments.scratch))
    notes = [
        f"Accuracy: each photo is named once by a head that was fitted to the other four of five folds, {NAME} at {SIDE} pixels, one view.",
        "The penalty is chosen inside the photos that a head is fitted to. Intervals are Wilson's, 95 %.",
        f"Speed: {TIMED} photos at {USUAL_SIDE} pixels, {torch.get_num_threads()} threads; timm's module in groups of 32 and one by one.",
        "Time: from the command to the end of its process, each in a process of its own.",
    ]
    write_sheet("few_photos", "Few photos", [["what", "measured", "wanted"], *rows], notes)


def photos_at(folder: Path, side: int) -> tuple[ImageSet, ImageModule, str]:
    """The photos, the network for them, and the path of its head."""
    spec = ImageSpec(height=side, width=side, channels=3, mean=MEAN, std=STD, fit="crop")
    described = network(NAME, input_size=side)
    built = described.build()
    built.load_state_dict(builtin_tensors(NAME))
    return open_data(folder).read("train", spec=spec), ImageModule(built, spec).eval(), described.rows[-1].path


def accuracy_rows(folder: Path) -> list[list[str]]:
    """The accuracy in five folds from all photos of the other folds, and from 20 a class of them; and scikit-learn's on raw pixels."""
    images, module, head = photos_at(folder, SIDE)
    seen = features(module, head, images.images)
    small = ImageSpec(height=RAW_SIDE, width=RAW_SIDE, channels=3, mean=MEAN, std=STD, fit="crop")
    raw = open_data(folder).read("train", spec=small).images.reshape(len(images), -1) / np.float32(255)
    most = int(np.bincount(images.labels).max())
    return [
        [f"accuracy, {most} a class, five folds", share_right(seen, images, None), "0.90"],
        ["accuracy, 20 a class, five folds", share_right(seen, images, 20), "0.80"],
        [f"scikit-learn's logistic regression on {RAW_SIDE} x {RAW_SIDE} pixels, {most} a class", share_right(raw, images, None), ""],
    ]


def share_right(seen: np.ndarray, images: ImageSet, a_class: int | None) -> str:
    """The share of photos that heads name right which did not see them, with its interval."""
    classes, right = len(images.classes), 0
    folds = head_folds(images.labels, images.paths, images.classes, seed=0)
    if folds is None:
        raise SystemExit("each class needs two photos")
    for fitted, held in divisions(folds):
        chosen = fitted
        if a_class is not None:
            mixed = np.random.default_rng(0).permutation(fitted)
            chosen = np.concatenate([mixed[images.labels[mixed] == label][:a_class] for label in range(classes)])
        paths = [images.paths[place] for place in chosen]
        inner = head_folds(images.labels[chosen], paths, images.classes, seed=0)
        found = None if inner is None else out_of_fold(seen[chosen], images.labels[chosen], classes, folds=inner)
        strength = USUAL_STRENGTH if found is None else found.strength
        model = fit_linear_head(seen[chosen], images.labels[chosen], classes, strength=strength)
        logits = seen[held] @ model.weight.numpy().T + model.bias.numpy()
        right += int((logits.argmax(1) == images.labels[held]).sum())
    low, high = wilson_interval(right, len(images))
    return f"**{right / len(images):.4f}** ({low:.4f} to {high:.4f})"


def speed_rows(folder: Path, turns: int) -> list[list[str]]:
    """Photos a second of our features beside timm's module of the same weights."""
    import timm

    images, module, head = photos_at(folder, USUAL_SIDE)
    pixels = images.images[:TIMED]
    theirs = timm.create_model(f"tf_{NAME}").eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), builtin_tensors(NAME).values(), strict=True)))
    with torch.inference_mode():
        ready = module.normalized(torch.from_numpy(np.ascontiguousarray(pixels))).contiguous()

    def plain(size: int) -> None:
        with torch.inference_mode():
            for start in range(0, len(ready), size):
                theirs.forward_head(theirs.forward_features(ready[start : start + size]), pre_logits=True)

    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: features(module, head, pixels),
        "timm, groups of 32": lambda: plain(32),
        "timm, one by one": lambda: plain(1),
    }
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, work in sides.items():
            started = time.perf_counter()
            work()
            speeds[name].append(len(pixels) / (time.perf_counter() - started))
    ratios = {name: [a / b for a, b in zip(speeds["ours"], speeds[name], strict=True)] for name in sides if name != "ours"}
    rows = [[f"features, photos/s: {name}", spread(values), ""] for name, values in speeds.items()]
    return [*rows, *([f"ours over {name}", f"**{spread(values)}**", "1.5"] for name, values in ratios.items())]


def time_rows(folder: Path) -> list[list[str]]:
    """Seconds of `striate train`, without and with features kept from before."""
    rows = []
    with tempfile.TemporaryDirectory() as kept:
        for what, wanted in (("new photos", "timm's time + 15"), ("features kept from before", "20")):
            started = time.perf_counter()
            run = Path(kept) / what.replace(" ", "-")
            command = [sys.executable, "-m", "striate", "train", str(folder), "--output", str(run)]
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "STRIATE_DATA": kept})
            rows.append([f"`striate train`, {what}, s", f"**{time.perf_counter() - started:.1f}**", wanted])
    return rows


def scratch_row(folder: Path, seconds: int) -> list[str]:
    """The best validation accuracy that training from scratch reaches in so many seconds, on a fifth that is held out."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        command = [sys.executable, "-m", "striate", "train", str(folder), "--pretrained", "none", "--val-fraction", "0.2"]
        process = subprocess.Popen([*command, "--epochs", "1000", "--sched", "constant", "--output", str(run)], stderr=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        lines = (run / "metrics.csv").read_text().splitlines()
    place_of = lines[0].split(",").index("val_accuracy")
    best = max(float(line.split(",")[place_of]) for line in lines[1:])
    return [f"from scratch, {seconds} s, best of {len(lines) - 1} epochs on a fifth held out", f"{best:.4f}", ""]


if __name__ == "__main__":
    main()
