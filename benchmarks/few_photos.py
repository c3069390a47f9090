"""Few photos: accuracy in folds, the speed of features, and the time of `striate train` to its run folder: `few_photos PHOTOS [...]`.

PHOTOS is a folder with a folder of photos for each class; the sheet has 5 kinds of flowers, 80 each. Ratios are of turns.
Beside it: the same network in timm, scikit-learn on raw pixels, with --scratch SECONDS what training from scratch reaches in that time, and
with --fastai FOLDS fastai's `fine_tune` of the same network and weights, in packages of its own that are installed once, on our PyTorch.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from peer_packages import FASTAI, packages_of
from safetensors.torch import save_file
from sheet import spread, write_sheet

from striate.core.images import ImageSpec
from striate.core.intervals import wilson_interval
from striate.data.sources import open_data
from striate.models.builtin import MEAN, STD, WHEELS, builtin_tensors
from striate.models.features import features, middles
from striate.models.linear_head import USUAL_STRENGTH, divisions, fit_linear_head, head_folds, out_of_fold, views_of
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
FASTAI_EPOCHS = 4  # after one of the head alone


def main() -> None:
    """Measure, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--turns", type=int, default=5, help="of each side of a ratio")
    parser.add_argument("--scratch", type=int, default=0, metavar="SECONDS", help="also train from scratch for so long")
    parser.add_argument("--fastai", type=int, default=0, metavar="FOLDS", help="also fine-tune with fastai, in so many of the five folds")
    arguments = parser.parse_args()
    rows = [*accuracy_rows(arguments.photos), *speed_rows(arguments.photos, arguments.turns), *time_rows(arguments.photos)]
    if arguments.scratch:
        rows.append(scratch_row(arguments.photos, arguments.scratch))
    if arguments.fastai:
        rows += fastai_rows(arguments.photos, arguments.fastai)
    notes = [
        f"Accuracy: each photo is named once by a head that was fitted to the other four of five folds; {NAME}, {SIDE} pixels, two views.",
        "The penalty is chosen inside the photos that a head is fitted to. Intervals are Wilson's, 95 %.",
        f"Speed: {TIMED} photos at {USUAL_SIDE} pixels, {torch.get_num_threads()} threads; timm's module in groups of 32 and one by one.",
        "Time: from the command to the end of its process, each in a process of its own.",
        f"fastai: vision_learner and fine_tune({FASTAI_EPOCHS}), random crops of {USUAL_SIDE} pixels, batches of 32: the seconds of",
        "`fine_tune` alone beside those of the whole command `striate train`, in turns on the same photos.",
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
    seen = np.stack([features(module, head, views) for views in (images.images, middles(images.images))], 1)
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
        logits = views_of(seen)[held, 0] @ model.weight.numpy().T + model.bias.numpy()
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


def fastai_rows(folder: Path, count: int) -> list[list[str]]:
    """fastai's `fine_tune` and `striate train` on the photos of the same folds: the share of the others named right, and the seconds."""
    import timm

    images = photos_at(folder, RAW_SIDE)[0]
    folds = head_folds(images.labels, images.paths, images.classes, seed=0)
    if folds is None:
        raise SystemExit("each class needs two photos")
    packages, found = packages_of("fastai", FASTAI), []
    with tempfile.TemporaryDirectory() as place:
        names = list(timm.create_model(f"tf_{NAME}").state_dict())
        tensors = (each.contiguous() for each in builtin_tensors(NAME).values())
        save_file(dict(zip(names, tensors, strict=True)), f"{place}/weights.safetensors")
        for number, (fitted, held) in enumerate(list(divisions(folds))[:count]):
            parts = {"train": fitted, "test": held}
            listed = {
                part: [(images.paths[each], images.classes[images.labels[each]]) for each in chosen] for part, chosen in parts.items()
            }
            run = Path(place) / str(number)
            for part, photos in listed.items():
                for path, name in photos:
                    (run / part / name).mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, run / part / name)
            plan = {"weights": f"{place}/weights.safetensors", "side": USUAL_SIDE, "epochs": FASTAI_EPOCHS}
            (run / "plan.json").write_text(json.dumps(plan | {"folds": [{"train": listed["train"], "valid": listed["test"]}]}))
            program = [sys.executable, str(Path(__file__).parent / "peers" / "fastai_photos.py"), str(run / "plan.json")]
            printed = subprocess.run(program, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(packages)})
            theirs = json.loads(printed.stdout.splitlines()[-1])
            ours = [sys.executable, "-m", "striate"]
            started = time.perf_counter()
            kept = {**os.environ, "STRIATE_DATA": f"{place}/kept-{number}"}
            subprocess.run([*ours, "train", str(run), "--output", f"{place}/run-{number}"], check=True, capture_output=True, env=kept)
            seconds = time.perf_counter() - started
            evaluate = [*ours, "evaluate", f"{place}/run-{number}", "--split", "test", "--json"]
            measured = json.loads(subprocess.run(evaluate, check=True, capture_output=True, text=True).stdout)
            found.append((theirs["accuracy"] * len(held), theirs["seconds"], measured["accuracy"] * len(held), seconds, len(held)))
    their_right, their_seconds, our_right, our_seconds, counts = (list(each) for each in zip(*found, strict=True))

    def share(right: list[float]) -> str:
        low, high = wilson_interval(round(sum(right)), sum(counts))
        return f"{sum(right) / sum(counts):.4f} ({low:.4f} to {high:.4f})"

    return [
        [f"fastai's fine_tune, accuracy in {count} folds", share(their_right), ""],
        [f"`striate train`, accuracy in {count} folds", f"**{share(our_right)}**", "fastai's"],
        ["fastai's fine_tune, s", spread(their_seconds, ".0f"), ""],
        ["`striate train`, s", spread(our_seconds, ".0f"), ""],
        ["time of fastai over ours", f"**{spread([a / b for a, b in zip(their_seconds, our_seconds, strict=True)])}**", "2"],
    ]


if __name__ == "__main__":
    main()
