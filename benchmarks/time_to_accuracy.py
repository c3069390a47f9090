"""Test accuracy over time, of Striate's fast recipe and of others': `time_to_accuracy mnist|fashion_mnist|cifar10 [--seeds N] [--quick]`.

Others: Keras' example for MNIST and fastai's `fit_one_cycle`, and on CIFAR-10 the published recipe to 94 % as a plain loop on PyTorch. Each
training is a process of its own; they take turns, seed after seed. A second counts from the start of the program, whatever it is spent
on; each program tests after each epoch, by nothing of which it chooses. --quick trains an epoch or two on 2,000 pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from peer_packages import packages_of
from sheet import RESULTS, Sheet, write_sheet
from throughput import PEERS

HERE = Path(__file__).parent
QUICK_RESULTS = HERE.parent / "build" / "bench"
QUICK_PICTURES, QUICK_EPOCHS, POLL_SECONDS = 2_000, "2", 0.05


class Point(NamedTuple):
    """A test accuracy, and the seconds since the start of the program."""

    seconds: float
    accuracy: float


class Recipe(NamedTuple):
    """A program that trains by a recipe, for so many epochs."""

    program: str
    epochs: str
    packages: str = ""  # those of this peer of `throughput`


Curves = dict[str, list[list[Point]]]  # of each recipe, one a seed
KERAS = {"Keras' MNIST example": Recipe("keras_accuracy.py", "15", "keras")}
FASTAI = {f"fastai, {epochs} epochs": Recipe("fastai_accuracy.py", epochs, "fastai") for epochs in ("5", "20")}
OTHERS: dict[str, dict[str, Recipe]] = {
    "mnist": KERAS | FASTAI,
    "fashion_mnist": KERAS | FASTAI,
    "cifar10": {"airbench94 on PyTorch": Recipe("airbench_accuracy.py", "9.9")},
}
GOALS = {"mnist": (0.994, 0.997), "fashion_mnist": (0.93, 0.945), "cifar10": (0.9, 0.94)}
OURS = "Striate, --recipe fast"


def main() -> None:
    """Train, and write the sheet and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=GOALS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="an epoch or two of 2,000 pictures, one seed; into build/bench")
    arguments = parser.parse_args()
    folder = QUICK_RESULTS if arguments.quick else RESULTS
    curves = trained(arguments.data, 1 if arguments.quick else arguments.seeds, quick=arguments.quick)
    write_sheet(*sheet_of(arguments.data, curves, quick=arguments.quick), folder=folder)
    (folder / f"time_to_{arguments.data}.png").write_bytes(curves_picture(curves, GOALS[arguments.data], title=arguments.data))


def trained(data: str, seeds: int, *, quick: bool) -> Curves:
    """The curves of all recipes, seed after seed."""
    curves: Curves = {name: [] for name in (OURS, *OTHERS[data])}
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"{data}.npz"
        write_pictures(data, file, QUICK_PICTURES if quick else None)
        for seed in range(seeds):
            for name, found in curves.items():
                if name == OURS:
                    points = list(points_of_ours(file, seed, Path(place) / f"run{seed}", [*(["--epochs", QUICK_EPOCHS] * quick)]))
                else:
                    recipe = OTHERS[data][name]
                    points = points_of(recipe._replace(epochs=QUICK_EPOCHS) if quick else recipe, file, seed)
                found.append(points)
                print(f"{name}, seed {seed}: {points[-1].accuracy:.4f} after {points[-1].seconds:.1f} s", flush=True)
    return curves


def write_pictures(data: str, file: Path, count: int | None) -> None:
    """The training pictures, or some of them; the test pictures stand where pictures to validate do, to be looked at after each epoch."""
    from striate.data.sources import open_data

    parts = {}
    for split, name in (("train", "train"), ("test", "val")):
        pictures = open_data(data).read(split)
        parts |= {f"x_{name}": pictures.images[:count], f"y_{name}": pictures.labels[:count]}
    np.savez(file, **parts)


def points_of_ours(file: Path, seed: int, run: Path, more: Sequence[str]) -> Iterator[Point]:
    """The rows of a run's metrics as they come."""
    words = ["train", str(file), "--recipe", "fast", "--seed", str(seed), "--output", str(run), *more]
    started, seen = time.time(), 0
    said = run.with_name(f"{run.name}.log")
    with said.open("wb") as log:
        process = subprocess.Popen([str(Path(sys.executable).parent / "striate"), *words], stdout=subprocess.DEVNULL, stderr=log)
    while True:
        ended = process.poll() is not None
        now, rows = time.time() - started, rows_of(run / "metrics.csv")
        for row in rows[seen:]:
            yield Point(now, float(row["val_accuracy"]))
        seen = max(seen, len(rows))
        if ended:
            break
        time.sleep(POLL_SECONDS)
    if process.returncode:
        raise SystemExit(f"{OURS}: {said.read_text()[-2000:]}")


def rows_of(metrics: Path) -> list[dict[str, str]]:
    """The whole rows of a CSV file that is being written."""
    text = metrics.read_text() if metrics.exists() else ""
    heading, *rows = [line.strip().split(",") for line in text.splitlines(keepends=True) if line.endswith("\n")] or [[]]
    return [dict(zip(heading, row, strict=True)) for row in rows]


def points_of(recipe: Recipe, file: Path, seed: int) -> list[Point]:
    """What another program says, line after line."""
    environment = os.environ | {"STARTED": str(time.time())}
    if recipe.packages:
        peer = PEERS[recipe.packages]
        place = packages_of(peer.folder, peer.packages, dependencies=peer.whole)
        environment["PYTHONPATH"] = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-W", "ignore", str(HERE / "peers" / recipe.program), str(file), recipe.epochs, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{recipe.program}: {done.stderr[-2000:]}")
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [Point(each["seconds"], each["accuracy"]) for each in said]


def seconds_to(points: Sequence[Point], goal: float) -> float | None:
    """When the accuracy was first reached; None if it never was."""
    return next((point.seconds for point in points if point.accuracy >= goal), None)


def sheet_of(data: str, curves: Curves, *, quick: bool = False) -> Sheet:
    """The last accuracy of each recipe, and when the goals were reached."""
    goals = GOALS[data]
    rows = [["recipe", "last test accuracy, mean (spread)", "after, s", *(f"seconds to {goal:g}" for goal in goals)]]
    for name, trainings in curves.items():
        last = [points[-1] for points in trainings]
        accuracies = [point.accuracy for point in last]
        reached = [[seconds_to(points, goal) for points in trainings] for goal in goals]
        rows.append(
            [
                *(name, f"{statistics.mean(accuracies):.4f} ({min(accuracies):.4f} to {max(accuracies):.4f}, n={len(last)})"),
                f"{statistics.median(point.seconds for point in last):.1f}",
                *(in_words(seconds) for seconds in reached),
            ]
        )
    pictures = f"{QUICK_PICTURES:,} pictures" if quick else "the whole training split"
    notes = [
        "Seconds from the start of each program, with imports, reading and a test after each epoch.",
        f"All train on {pictures}; nothing is chosen by the test split, and the last epoch counts.",
        *(["airbench94's last accuracy is by 6 views of each picture, those before by one."] if data == "cifar10" else []),
    ]
    return Sheet(f"time_to_{data}", f"Test accuracy over time on {data}", rows, notes)


def in_words(seconds: Sequence[float | None]) -> str:
    """The median, and of how many seeds if not of all."""
    reached = [each for each in seconds if each is not None]
    if not reached:
        return "not reached"
    return f"{statistics.median(reached):.1f}" + f", {len(reached)} of {len(seconds)} seeds" * (len(reached) < len(seconds))


def curves_picture(curves: Curves, goals: Sequence[float], *, title: str) -> bytes:
    """Accuracy over seconds, a line for each training and a colour for each recipe; goals as thin lines. A PNG file."""
    from striate.drawing.style import FAINT, below, curve, drawing, look, panels, plain, png_bytes, powers

    highest = max(point.accuracy for trainings in curves.values() for points in trainings for point in points)
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(6.4, 4.5), title=f"{title}: test accuracy over time")
        plain(axes, x="seconds from the start of the program", y="test accuracy")
        for place, (name, trainings) in enumerate(curves.items()):
            for number, points in enumerate(trainings):
                seconds, accuracies = zip(*points, strict=True)
                curve(axes, seconds, accuracies, label=name if number == 0 else None, **look(place))
        for goal in goals:
            axes.axhline(
                goal, color=FAINT, linewidth=0.7, zorder=0, label=f"wanted: {', '.join(f'{each:g}' for each in goals)}" * (goal == goals[0])
            )
        top = max([highest, *goals])
        axes.set_ylim(max(0.0, min(*goals, highest) - 8 * (1 - top)), min(1.0, top + 0.5 * (1 - top)))
        powers(axes, "x")
        below(figure, *axes.get_legend_handles_labels())
        return png_bytes(figure)


if __name__ == "__main__":
    main()
