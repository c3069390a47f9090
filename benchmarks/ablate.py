"""What ablations cost and survive: `./scripts/bench ablate throughput|cores|kills|quick-kills|lesions`.

throughput: baseline, no shortcut, no norm, tanh of `resnet20_cifar` on CIFAR-10 pictures, one trial at a time on all cores and one a core.
cores: images/s of one training of it on all cores, on one core alone, and of one on each core: what the gain of throughput can be.
kills: an ablation whose driver is killed again and again, each time at another moment, until it is done.
quick-kills: the same 20 times with 100 stand-ins for trials, of 0.2 s each, some of which raise, die, hang or go NaN.
lesions: accuracy of a residual and a plain network after the loss of each block (Veit et al., 2016, arXiv:1605.06431).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sheet import write_sheet

COMMAND = [sys.executable, "-m", "striate", "ablate"]
EDITS = ["--without", "shortcut", "--without", "norm", "--swap", "activation=tanh"]


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["throughput", "cores", "kills", "quick-kills", "lesions"])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--train-images", type=int, default=10_000, help="of throughput")
    parser.add_argument("--epochs", type=int, default=5, help="of each trial of throughput")
    parser.add_argument("--seeds", type=int, default=3, help="of throughput")
    parser.add_argument("--steps", type=int, default=1500, help="updates of the trainings before lesions")
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        modes = {"throughput": throughput, "cores": one_a_core, "kills": kills, "quick-kills": quick_kills, "lesions": lesions}
        modes[arguments.what](arguments, Path(temporary))


def throughput(arguments: argparse.Namespace, folder: Path) -> None:
    """The same ablation with one trial at a time and with one a core."""
    cores, rows = os.cpu_count() or 1, []
    for jobs in (1, cores):
        started = time.monotonic()
        report = ablation(arguments, folder / f"jobs-{jobs}", "--jobs", str(jobs))
        seconds = time.monotonic() - started
        rows.append(
            [f"{jobs} at a time, {max(1, cores // jobs)} threads each", f"{seconds:.1f}", f"{3600 * report['trials'] / seconds:.0f}"]
        )
    gain = float(rows[0][1]) / float(rows[1][1])
    notes = [
        f"one a core is {gain:.2f} times as fast",
        f"accuracy on the validation split, and its 95 % interval, seeds: {arguments.seeds}",
    ]
    for row in report["variants"]:
        accuracy = "none" if row["accuracy"] is None else f"{row['accuracy']:.4f}"
        bounds = " to ".join(f"{bound:.4f}" for bound in row["accuracy_interval"] or ())
        notes.append(f"{row['name']}: {accuracy}" + (f" ({bounds})" if bounds else ""))
    write_sheet("ablate", "Trials of an ablation", [["how", "seconds", "trials an hour"], *rows], notes)


def ablation(arguments: argparse.Namespace, run: Path, *more: str) -> dict:
    """The report of an ablation by the command line."""
    words = ["resnet20_cifar", arguments.data, *EDITS, "--seeds", str(arguments.seeds)]
    words += ["--epochs", str(arguments.epochs), "--train-images", str(arguments.train_images)]
    done = subprocess.run([*COMMAND, *words, *more, "--output", str(run), "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


TRAINING = """
import sys, numpy as np, striate
rng = np.random.default_rng(0)
data = (rng.integers(0, 256, (8533, 32, 32, 3), np.uint8), np.arange(8533) % 10)  # 60 batches of 128 to train on
run = striate.train(data, network="resnet20_cifar", epochs=2, batch_size=128, diagnose=False, output=sys.argv[1])
print(run.images_per_second)
"""


def one_a_core(_arguments: argparse.Namespace, folder: Path) -> None:
    """The speed of one training on all cores, on one alone, and of one on each, from its median epoch."""
    cores, rows = os.cpu_count() or 1, []
    for processes, threads in ((1, cores), (1, 1), (cores, 1)):
        name, environment = f"{processes}-{threads}", {**os.environ, "OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "10000"}
        command = [sys.executable, "-c", TRAINING]
        running = [
            subprocess.Popen(
                [*command, str(folder / f"{name}-{place}")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            for place in range(processes)
        ]
        speeds = [float(process.communicate()[0]) for process in running]
        rows.append([str(processes), str(threads), f"{statistics.mean(speeds):.0f}", f"{sum(speeds):.0f}"])
    gain = float(rows[2][3]) / float(rows[0][3])
    table = [["trainings at once", "threads each", "images/s of each", "images/s of all"], *rows]
    write_sheet("ablate_cores", "Trainings of resnet20_cifar on all cores", table, [f"one a core computes {gain:.2f} times as much"])


def kills(arguments: argparse.Namespace, folder: Path) -> None:
    """Kill the driver at random moments, and count what was kept."""
    run, chance = folder / "run", random.Random(0)
    words = ["mnist_notes", "digits", "--without", "augmentation", "--steps", "5", "--jobs", "2"]
    first = [*COMMAND, *words, "--seeds", str(max(2, arguments.kills)), "--output", str(run)]
    journal, killed, kept, lost = run / "trials.jsonl", 0, 0, 0
    before: list[bytes] = []
    while killed < arguments.kills:
        driver = subprocess.Popen(first if killed == 0 else [*COMMAND, "--resume", str(run)], stderr=subprocess.DEVNULL)
        while not (journal.exists() and len(journal.read_bytes().splitlines()) > len(before)) and driver.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        killed += 1
        lines = journal.read_bytes().splitlines()
        kept += sum(line in lines for line in before)
        lost += sum(line not in lines for line in before)
        before = lines if journal.read_bytes().endswith(b"\n") else lines[:-1]
    subprocess.run([*COMMAND, "--resume", str(run), "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    names = [json.loads(line)["trial"] for line in journal.read_bytes().splitlines()]
    lost += sum(line not in journal.read_bytes().splitlines() for line in before)
    table = [
        ["kills", "finished trials seen again", "lost", "trials in the end", "repeated"],
        [str(killed), str(kept), str(lost), str(len(names)), str(len(names) - len(set(names)))],
    ]
    write_sheet("ablate_training_kills", "Kills of an ablation's driver", table)


def quick_kills(_arguments: argparse.Namespace, folder: Path) -> None:
    """Kill the driver of trials that only sleep: the journal, the locks and the processes are those of every ablation."""
    program = Path(__file__).parents[1] / "tests" / "reliability" / "quick_trials.py"
    done = subprocess.run(
        [sys.executable, str(program), str(folder / "run")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    found = json.loads(done.stdout)
    kept = 100 - found["lost"] - len(found["started again"])
    table = [
        ["kills", "trials in the end", "kept", "finished before the last kill", "lost", "started again"],
        [
            str(found["kills"]),
            str(found["trials"]),
            f"{kept}/100",
            str(found["finished before the last start"]),
            str(found["lost"]),
            str(len(found["started again"])),
        ],
    ]
    rows = [f"{name}: {done} done" + "".join(f"; {problem}" for problem in problems) for name, (done, *problems) in found["rows"].items()]
    write_sheet("ablate_kills", "Kills of an ablation's driver, 100 trials of 0.2 s", table, rows)


def lesions(arguments: argparse.Namespace, folder: Path) -> None:
    """Train a residual and a plain network, and drop each block."""
    import striate

    rows = []
    for name in ("resnet20_cifar", "plain20_cifar"):
        striate.train(arguments.data, network=name, steps=arguments.steps, output=folder / name)
        done = subprocess.run([*COMMAND, str(folder / name), "--lesion", "--json"], stdout=subprocess.PIPE, check=True)
        report = json.loads(done.stdout)
        left = [point["accuracy"] for point in report["points"] if point["lesion"] == "block"]
        rows.append([name, f"{report['accuracy']:.4f}", f"{statistics.median(left):.4f}", f"{min(left):.4f}", f"{max(left):.4f}"])
    write_sheet("lesions", "Accuracy after the loss of one block", [["network", "whole", "median", "least", "most"], *rows])


if __name__ == "__main__":
    main()
