"""What checkpoints cost a training, at their default rate: `checkpoints [NAME ...] [--rounds N] [--seconds N]`.

Whole trainings by `striate.train`, each in a process of its own: one with checkpoints as they come by default, one with none but the
first and the last. They alternate, and the ratio is taken within each round. Times are those of the epochs' updates and all that is
written between the first and the last of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sheet import spread, write_sheet

WAYS = ("none", "default")
NETWORKS = {"lenet5": "mnist", "compact_cnn": "fashion_mnist", "resnet20_cifar": "cifar10"}  # with AdamW, SGD, SGD
MOST = 0.02  # of the time
TRIAL = 40  # updates from which the number for so many seconds is estimated


def main() -> None:
    """Measure in processes of their own and write the sheet; with --measure, be such a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NETWORKS), metavar="NAME", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=100.0, help="that a training lasts at least")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in NETWORKS]:
        parser.error(f"no data for {', '.join(unknown)}; there is for {', '.join(NETWORKS)}")
    if asked.measure:
        print(json.dumps(measure(asked.names[0], asked.measure, asked.steps)))
        return
    rows = []
    for name in asked.names:
        trial = in_own_process(name, "none", TRIAL)
        steps = max(TRIAL, round(TRIAL * asked.seconds / trial["seconds"]))
        measured: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for turn in range(asked.rounds):
            for way in WAYS if turn % 2 == 0 else reversed(WAYS):
                measured[way].append(in_own_process(name, way, steps))
            print(f"{name} round {turn + 1}: " + ", ".join(f"{way} {measured[way][-1]['seconds']:.2f} s" for way in WAYS), flush=True)
        rows.append(row_of(name, steps, measured))
    heading = ["network", "updates", "without, s", "default, s", "checkpoints", "inside saving", "more time", "wanted"]
    notes = [
        f"Median (smallest to largest) of {asked.rounds} pairs of trainings, each in a process of its own, their order alternating.",
        "Inside saving: the part of the time that the training waited for checkpoints; it does not depend on what else the machine does.",
        "More time: the ratio within each pair, less 1.",
        "By default a checkpoint is saved when 30 s have passed and saving takes less than 1 % of the time.",
    ]
    write_sheet("checkpoints", "What checkpoints cost a training", [heading, *rows], notes)


def row_of(name: str, steps: int, measured: dict[str, list[dict[str, float]]]) -> list[str]:
    """One row of the sheet."""
    without, default = ([each["seconds"] for each in measured[way]] for way in WAYS)
    more = [with_them / plain - 1 for with_them, plain in zip(default, without, strict=True)]
    inside = [each["saving"] / each["seconds"] for each in measured["default"]]
    saved = statistics.median(each["checkpoints"] for each in measured["default"])
    cells = [name, f"{steps:,}", spread(without, ".1f"), spread(default, ".1f"), f"{saved:g}"]
    return [*cells, f"**{statistics.median(inside):.2%}** ({min(inside):.2%} to {max(inside):.2%})", share(more), f"{MOST:.0%}"]


def share(values: list[float]) -> str:
    """Median and range as shares."""
    return f"{statistics.median(values):+.2%} ({min(values):+.2%} to {max(values):+.2%})"


def in_own_process(name: str, way: str, steps: int) -> dict[str, float]:
    """What a new process measures."""
    command = [sys.executable, __file__, name, "--steps", str(steps), "--measure", way]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return found


# ---- a measurement


def measure(name: str, way: str, steps: int) -> dict[str, float]:
    """Seconds from the first update to the last, seconds of them that went into checkpoints, and how many there were."""
    from striate.engine.checkpoints import CheckpointStore
    from striate.workflows.training.request import TrainRequest
    from striate.workflows.training.running import QuietObserver
    from striate.workflows.training.train import train

    class Clock(QuietObserver):
        """When the updates were."""

        moments: list[float] = []  # noqa: RUF012  (one clock a process)

        def step(self, epoch: int, step: int, num_steps: int) -> None:
            self.moments.append(time.perf_counter())

    clock, saves = Clock(), []
    save = CheckpointStore.save

    def timed(*arguments: object) -> object:
        started = time.perf_counter()
        path = save(*arguments)  # type: ignore[arg-type]
        saves.append((started, time.perf_counter() - started))
        return path

    CheckpointStore.save = timed  # type: ignore[assignment,method-assign]
    with tempfile.TemporaryDirectory(dir=".") as folder:  # on the disk where runs lie, not on one in memory
        train(
            TrainRequest(
                data=NETWORKS[name],
                network=name,
                steps=steps,
                checkpoint_every=10**9 if way == "none" else None,
                output=Path(folder) / "run",
            ),
            observer=clock,
        )
    first, last = clock.moments[0], clock.moments[-1]
    inside = [seconds for started, seconds in saves if first <= started < last]
    return {"seconds": last - first, "saving": sum(inside), "checkpoints": len(inside)}


if __name__ == "__main__":
    main()
