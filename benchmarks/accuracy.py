"""Test accuracy and seconds of commands that train on a named set: `accuracy [GOAL ...] [--seeds N] [--steps N]`."""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from sheet import spread, write_sheet

import striate

TINY = "--recipe fast --epochs 15 --batch-size 128 --lr 0.2 --weight-decay 0.0001 --smoothing 0 --set augmentation.rotation=8"


class Goal(NamedTuple):
    """A command, and the accuracy on the test split that is wanted of it."""

    command: str  # after `striate train`
    wanted: float
    seeds: int
    seconds: int | None = None  # wanted, on two cores


GOALS = {
    "mnist": Goal("mnist --model lenet5 --epochs 5", 0.990, 3),
    "mnist_minute": Goal("mnist --epochs 1", 0.994, 3, 60),
    "mnist_fast": Goal("mnist", 0.997, 3, 600),
    "mnist_tiny": Goal(f"mnist --model tiny_cnn {TINY}", 0.994, 3),
    "fashion_mnist": Goal("fashion_mnist --model compact_cnn --epochs 10", 0.92, 1),
    "fashion_mnist_fast": Goal("fashion_mnist --epochs 5", 0.93, 3, 300),
    "fashion_mnist_long": Goal("fashion_mnist --epochs 30", 0.945, 1, 1800),
    "cifar10": Goal("cifar10 --model cifar_notes --epochs 15", 0.72, 1),
    "cifar10_fast": Goal("cifar10", 0.94, 5, 900),
}


def main() -> None:
    """Train, evaluate on the test split, write one sheet a goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("goals", nargs="*", default=list(GOALS), metavar="GOAL", help=f"of {', '.join(GOALS)}")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--steps", type=int, help="train only so many updates, to see that it works")
    arguments = parser.parse_args()
    for name in arguments.goals:
        goal = GOALS[name]
        accuracies, seconds = [], []
        for seed in range(arguments.seeds or goal.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                more = ["--seed", str(seed), "--output", str(run), *(["--steps", str(arguments.steps)] if arguments.steps else [])]
                started = time.perf_counter()
                subprocess.run([sys.executable, "-m", "striate", "train", *shlex.split(goal.command), *more], check=True)
                seconds.append(time.perf_counter() - started)
                accuracies.append(striate.evaluate(run, split="test").accuracy)
            print(f"{name} seed {seed}: test accuracy {accuracies[-1]:.4f} after {seconds[-1]:.0f} s", file=sys.stderr, flush=True)
        row = [f"`striate train {goal.command}`", f"{statistics.mean(accuracies):.4f}", f"{goal.wanted:.3f}"]
        row += [spread(accuracies, ".4f"), spread(seconds, ".0f"), "" if goal.seconds is None else str(goal.seconds)]
        heading = ["command", "mean test accuracy", "wanted", "median (spread)", "seconds of the command", "wanted"]
        write_sheet(
            f"accuracy_{name}",
            f"Test accuracy: striate train {goal.command}",
            [heading, row],
            ["10 % of the training split is held out for choosing the epoch; the test split is read once, at the end."],
        )


if __name__ == "__main__":
    main()
