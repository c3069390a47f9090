"""How long `striate report` takes on an ordinary run, import to page: `report [--runs N] [--steps N]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sheet import spread, write_sheet

STRIATE = str(Path(sys.executable).parent / "striate")
JOBS = (("fashion_mnist", "compact_cnn"), ("cifar10", "resnet20_cifar"), ("digits", "lenet5"))
WANTED = 20.0  # seconds


def main() -> None:
    """Train each run for a little while, and sum it up several times, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="reports of each run")
    parser.add_argument("--steps", type=int, default=60, help="updates of each training")
    arguments = parser.parse_args()
    table = [["run", "seconds", "MiB of the page", "wanted"]]
    for data, name in JOBS:
        with tempfile.TemporaryDirectory() as folder:
            run, page = Path(folder) / "run", Path(folder) / "page.html"
            training = [STRIATE, "train", data, "--model", name, "--steps", str(arguments.steps), "--output", str(run)]
            subprocess.run(training, check=True, capture_output=True)
            times = []
            for _ in range(arguments.runs):
                started = time.perf_counter()
                subprocess.run([STRIATE, "report", str(run), "--out", str(page)], check=True, capture_output=True)
                times.append(time.perf_counter() - started)
            table.append([f"{name} on {data}", spread(times), f"{page.stat().st_size / 2**20:.2f}", f"under {WANTED:g}"])
            print(f"{data}: {spread(times)} s", flush=True)
    write_sheet(
        "report", "The page of a run", table, [f"each run trained for {arguments.steps} updates; what is measured does not depend on that"]
    )


if __name__ == "__main__":
    main()
