"""What 10 and 100 times as many pictures cost a training, in time and memory, and what a second process brings: `linear [--rounds N]`."""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sheet import spread, write_sheet

DATA, NETWORK = "fashion_mnist", "lenet5"
SIZES = (500, 5_000, 50_000)  # pictures
EPOCHS = 3  # of which the first is not counted
PICTURE_BYTES = 28 * 28
PROGRAM = """
import json, resource, sys
from striate.apps.cli import main
try:
    main()
except SystemExit as end:
    failed = bool(end.code)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
if not failed:
    print(json.dumps(peak), file=sys.stderr)
"""


def trained(size: int, processes: int, folder: Path) -> tuple[float, int]:
    """Seconds of an epoch after the first, and the largest memory in bytes of one process."""
    run, program = folder / f"{size}-{processes}", folder / "program.py"
    program.write_text(PROGRAM)
    words = ["train", DATA, "--model", NETWORK, "--train-images", str(size), "--epochs", str(EPOCHS), "--no-diagnose", "--output", str(run)]
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*start, str(program), *words], check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    peaks = [int(line) for line in done.stderr.splitlines() if line.isdecimal()]
    with (run / "metrics.csv").open() as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    return statistics.mean(seconds[1:]), max(peaks)


def main() -> None:
    """Each size in turn, round after round; the largest by two processes too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds: int = parser.parse_args().rounds
    cases = [(size, 1) for size in SIZES] + [(SIZES[-1], 2)]
    found: dict[tuple[int, int], list[tuple[float, int]]] = {case: [] for case in cases}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for case in cases:
                found[case].append(trained(*case, Path(folder)))
                print(json.dumps([turn + 1, *case, *found[case][-1]]), flush=True)
    rows = [
        [
            f"{size:,}",
            str(processes),
            spread([seconds for seconds, _ in found[size, processes]]),
            spread([1e6 * seconds / size for seconds, _ in found[size, processes]]),
            spread([peak / 2**20 for _, peak in found[size, processes]], ".0f"),
            f"{size * PICTURE_BYTES / 2**20:.1f}",
        ]
        for size, processes in cases
    ]
    heading = [
        "pictures",
        "processes",
        "an epoch, s",
        "a picture, microseconds",
        "largest memory of a process, MiB",
        "of which pictures, at least",
    ]
    notes = [
        f"`{NETWORK}` on {DATA}, one thread a process; an epoch trains and validates; the first is not counted",
        "a process reads the whole set, 60,000 pictures, before it takes its share of each class",
    ]
    write_sheet("linear", "Cost of a training over the number of pictures", [heading, *rows], notes)


if __name__ == "__main__":
    main()
