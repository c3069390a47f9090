"""How long the command line takes to answer: `startup [--runs N]`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sheet import Sheet, spread, write_sheet

STRIATE = str(Path(sys.executable).parent / "striate")
FOLDER = Path(tempfile.mkdtemp())
RUN, FILE, PICTURE, PHOTOS = FOLDER / "run", FOLDER / "digits.onnx", FOLDER / "digit.png", FOLDER / "photos"
COMMANDS: tuple[tuple[str, list[str], str], ...] = (  # as a person writes it, as it is started, seconds wanted
    ("striate --help", [STRIATE, "--help"], "0.6"),
    ("striate show resnet50", [STRIATE, "show", "resnet50"], "0.8"),
    ("striate networks", [STRIATE, "networks"], ""),
    ("striate train --help", [STRIATE, "train", "--help"], ""),
    ("striate predict RUN digit.png", [STRIATE, "predict", str(RUN), str(PICTURE)], "3"),
    ("striate predict digits.onnx digit.png", [STRIATE, "predict", str(FILE), str(PICTURE)], "1"),
    ("python -c 'import striate'", [sys.executable, "-c", "import striate"], ""),
    ("python -c 'pass'", [sys.executable, "-c", "pass"], ""),
    ("python -c 'import torch'", [sys.executable, "-c", "import torch"], ""),
)
TRAININGS: tuple[tuple[str, list[str], str], ...] = (  # which write a run each
    ("striate train digits --steps 1", ["train", "digits", "--steps", "1"], "5"),
    ("striate train photos, features kept from before", ["train", str(PHOTOS)], "10"),
)


def prepare() -> None:
    """A run, an exported file, a picture and a folder of photos, whose features are kept by a first training."""
    from PIL import Image

    from striate.data.sources import open_data

    digits = open_data("digits").read("test")
    Image.fromarray(digits.images[0, :, :, 0]).save(PICTURE)
    for number in range(60):
        name = digits.classes[digits.labels[number]]
        (PHOTOS / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[number, :, :, 0]).resize((256, 256)).convert("RGB").save(PHOTOS / name / f"{number}.jpg")
    steps = (
        ["train", "digits", "--epochs", "1", "--output", str(RUN)],
        ["export", str(RUN), "--output", str(FILE)],
        [*TRAININGS[1][1], "--output", str(FOLDER / "first")],
    )
    for step in steps:
        subprocess.run([STRIATE, *step], check=True, capture_output=True)


def taken(command: list[str]) -> tuple[float, float]:
    """Seconds of a whole process, by the clock and of processor time."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    write_sheet(*startup(parser.parse_args().runs))


def startup(runs: int) -> Sheet:
    """Start each command in turn, round after round, after one round that is not counted."""
    prepare()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in (*COMMANDS, *TRAININGS)}
    for turn in range(runs + 1):
        trainings = [
            (name, [STRIATE, *words, "--output", str(FOLDER / f"{turn}-{place}")]) for place, (name, words, _) in enumerate(TRAININGS)
        ]
        for name, command in [*((name, command) for name, command, _ in COMMANDS), *trainings]:
            found = taken(command)
            if turn:
                times[name].append(found)
    rows = [
        [f"`{name}`", spread([clock for clock, _ in times[name]], ".2f"), spread([used for _, used in times[name]], ".2f"), wanted]
        for name, _, wanted in (*COMMANDS, *TRAININGS)
    ]
    heading = ["command", "seconds, median (spread)", "of processor time", "wanted, at most"]
    notes = [
        "Time of the whole process, files in the page cache.",
        "The training of one step validates, draws and writes its run too; that of photos (60) ends with an evaluated model.",
    ]
    shutil.rmtree(FOLDER)
    return Sheet("startup", "Time to the first answer", [heading, *rows], notes)


if __name__ == "__main__":
    main()
