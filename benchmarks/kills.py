"""Kill trainings at random moments, go on with them until they are done, and compare.

kills [--runs N] [--signals N] [--pairs N] [--side PIXELS] [--json]

Each run is the command line in a process of its own, forked from one that has imported PyTorch, so that the moments fall into the
training and not into imports. With --json, print the counts only and write no sheet.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: a fork must not lose threads

import matplotlib.pyplot  # noqa: F401  (here, so that the children have it, as the three others)
import numpy as np
import scipy.stats  # noqa: F401
import torch  # noqa: F401
from sheet import spread, write_sheet

import striate.workflows.training.train  # noqa: F401
from striate.apps.cli import main as command_line

MOST_KILLS = 5  # a run
FLAGS = ["--model", "compact_cnn", "--epochs", "3", "--batch-size", "32", "--model-ema", "0.9", "--checkpoint-every", "2"]
TIMES = ("seconds", "images_per_second")  # columns of metrics.csv that no two runs share


def main() -> None:
    """Kills first, signals second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--signals", type=int, default=20, help="runs for each kind of signal")
    parser.add_argument("--pairs", type=int, default=50, help="two runs that start in one folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=12, help="of the pictures, in pixels")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        bench = Bench(Path(name), random.Random(asked.seed), asked.side)
        kills = bench.kills(asked.runs)
        signals = {kind: bench.signals(kind, asked.signals) for kind in SIGNALS} if asked.signals else {}
        pairs = bench.pairs(asked.pairs)
    if asked.json:
        print(json.dumps({"kills": kills, "signals": {kind: counts for kind, (counts, _) in signals.items()}, "pairs": pairs}))
        return
    rows = [
        [
            "SIGKILL",
            str(kills["kills"]),
            f"{kills['equal']}/{kills['runs']}",
            f"{kills['in_a_save']} of the kills fell into writing a file",
        ],
        *(
            [
                kind,
                str(counts["sent"]),
                f"{counts['equal']}/{counts['runs']}",
                f"exit 6 in {counts['exit_6']}; seconds to the exit {spread(seconds)}",
            ]
            for kind, (counts, seconds) in signals.items()
        ),
        [
            "two runs in one folder",
            str(pairs["pairs"]),
            f"{pairs['equal']}/{pairs['pairs']}",
            f"the other exits with 4 and names the process at work: {pairs['named']}/{pairs['pairs']}",
        ],
    ]
    course = (
        f"Each run: `striate train DATA {' '.join(FLAGS)}` on 200 made-up pictures of {asked.side} x {asked.side}, "
        f"{bench.seconds:.1f} s undisturbed; "
        f"killed up to {MOST_KILLS} times at moments drawn evenly over that, each time gone on with by `--resume` (started again where "
        "there was no checkpoint yet), and at last left to end."
    )
    equal = (
        "Equal: the SHA-256 of best.safetensors and of the last checkpoint's weights, mean weights and optimizer, and metrics.csv "
        "without its times, are those of the undisturbed run."
    )
    both = "Two runs in one folder: half of the pairs start at the same moment, of the others the second up to half a run's time later."
    notes = [course, equal, both]
    write_sheet(
        "kills", "Trainings that were killed and gone on with", [["signal", "sent", "equal to the undisturbed run", "and"], *rows], notes
    )


SIGNALS = {
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
    "SIGHUP": (signal.SIGHUP,),
    "SIGUSR1": (signal.SIGUSR1,),
}


class Bench:
    """A data set, and what a run on it gives that is left in peace."""

    def __init__(self, folder: Path, chance: random.Random, side: int) -> None:
        self.folder, self.chance, self.data, self.log = folder, chance, folder / "data.npz", folder / "log"
        values = np.random.default_rng(0)
        labels = values.integers(0, 4, 200)
        images = (values.integers(0, 180, (200, side, side, 3)) + 20 * labels[:, None, None, None]).astype(np.uint8)
        np.savez(self.data, x_train=images, y_train=labels)
        for name in ("warm", "straight"):  # the second is timed
            started = time.monotonic()
            code = self.ended(self.started(folder / name))
            self.seconds = time.monotonic() - started
            if code:
                raise SystemExit(f"the undisturbed run ended with {code}:\n{self.log.read_text()}")
        self.wanted = result(folder / "straight")

    def kills(self, runs: int) -> Counter[str]:
        """Kill `runs` runs at random moments, several times each."""
        counts = Counter(runs=runs, equal=0, kills=0, in_a_save=0, from_scratch=0)
        for number in range(runs):
            run = self.folder / f"killed-{number}"
            done = False
            for kill in range(MOST_KILLS):
                started = time.monotonic()
                code = self.ended(self.started(run), after=self.chance.uniform(0, self.seconds), send=(signal.SIGKILL,))
                done = code != -signal.SIGKILL
                if done:
                    if not kill:  # it came too late: the machine is less busy by now
                        self.seconds = time.monotonic() - started
                    break
                counts["kills"] += 1
                counts["in_a_save"] += any(run.rglob(".*.tmp-*"))
                counts["from_scratch"] += not has_checkpoint(run)
            counts["equal"] += self.finish(run, done=done)
        return counts

    def signals(self, kind: str, runs: int) -> tuple[Counter[str], list[float]]:
        """Send signals of one kind to `runs` runs at random moments of their training; the seconds from the first to the exit."""
        counts, seconds = Counter(runs=runs, equal=0, sent=0, exit_6=0, over=0), []
        for number in range(runs):
            run = self.folder / f"{kind}-{number}"
            process = self.started(run)
            step = self.chance.randrange(2, 13)  # of 18, so that the run is not over before the signal comes
            while last_step(run) < step:
                time.sleep(0.001)
            time.sleep(self.chance.uniform(0, 0.05))
            sent = time.monotonic()
            code = self.ended(process, after=0, send=SIGNALS[kind])
            counts["sent"] += 1
            counts["exit_6"] += code == 6
            counts["over"] += code == 0  # the signal came too late
            if code == 6:
                seconds.append(time.monotonic() - sent)
            counts["equal"] += self.finish(run, done=code == 0)
        return counts, seconds

    def pairs(self, rounds: int) -> Counter[str]:
        """Start two runs in one folder, `rounds` times: one is to end as if it were alone, the other at once, saying who is at work."""
        counts = Counter(pairs=rounds, named=0, equal=0)
        for number in range(rounds):
            run, logs = self.folder / f"pair-{number}", (self.folder / "log-0", self.folder / "log-1")
            begin = time.monotonic() + 0.05
            moments = begin, begin + (self.chance.uniform(0, self.seconds / 2) if number % 2 else 0)
            both = [self.started(run, log=log, at=at) for log, at in zip(logs, moments, strict=True)]
            codes = [self.ended(process) for process in both]
            if sorted(codes) != [0, 4]:
                sys.stderr.write(f"{run.name}: ended with {codes}: {logs[0].read_text()}\n{logs[1].read_text()}\n")
            winner = codes.index(0) if 0 in codes else 0
            told = f"{run}: another run is using this folder: process {both[winner]} on "
            counts["named"] += codes[1 - winner] == 4 and told in logs[1 - winner].read_text()
            counts["equal"] += self.finish(run, done=True)
        return counts

    def started(self, run: Path, *, log: Path | None = None, at: float = 0) -> int:
        """The number of a new process that starts `run`, or goes on with it, when the monotonic clock shows `at`."""
        if has_checkpoint(run):
            words = ["train", "--resume", str(run), "--checkpoint-every", "2"]
        else:
            shutil.rmtree(run, ignore_errors=True)
            words = ["train", str(self.data), "--output", str(run), *FLAGS]
        if process := os.fork():
            with contextlib.suppress(OSError):  # whoever comes first makes the group that is killed
                os.setpgid(process, process)
            return process
        os.setpgid(0, 0)
        output = os.open(log or self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for what runs in the background
        sys.argv = ["striate", *words]
        code: object = 70
        time.sleep(max(0, at - time.monotonic()))
        try:
            command_line()
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 0)

    def ended(self, process: int, *, after: float = 600, send: tuple[signal.Signals, ...] = (signal.SIGKILL,)) -> int:
        """The exit code of `process`, or minus the signal it died of. If it still runs `after` seconds, it gets each signal of `send`."""
        end = time.monotonic() + after
        while time.monotonic() < end:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        for number in send:
            os.killpg(process, number)
            time.sleep(0.02)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def finish(self, run: Path, *, done: bool) -> bool:
        """Let `run` end in peace; whether it is equal to the undisturbed one. Says so where it is not."""
        if not done:
            code = self.ended(self.started(run))
            if code and "the run is done" not in self.log.read_text():
                sys.stderr.write(f"{run.name}: ended with {code}: {self.log.read_text()}\n")
                return False
        found = result(run)
        different = [name for name in self.wanted if found.get(name) != self.wanted[name]]
        different += [path.name for path in run.rglob(".*.tmp-*")]  # left behind
        if different:
            sys.stderr.write(f"{run.name}: differs in {', '.join(different)}\n")
        shutil.rmtree(run)
        return not different


def has_checkpoint(run: Path) -> bool:
    """Whether there is one to go on from."""
    return any((run / "checkpoints").glob("ckpt-*"))


def last_step(run: Path) -> int:
    """Of the newest checkpoint; 0 where there is none."""
    names = [path.name.split("-") for path in (run / "checkpoints").glob("ckpt-*")]
    return max((int(name[1]) for name in names), default=0)


def result(run: Path) -> dict[str, str]:
    """What must be equal between two runs: hashes, and the metrics without times."""
    last = run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()
    files = [run / "best.safetensors", *sorted(last.glob("*.safetensors"))]
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    with (run / "metrics.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]
    return {**hashes, "metrics.csv": json.dumps(rows)}


if __name__ == "__main__":
    main()
