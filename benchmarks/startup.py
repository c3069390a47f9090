"""How long the command line takes to answer: `startup [--runs N]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from sheet import spread, write_sheet

STRIATE = str(Path(sys.executable).parent / "striate")
COMMANDS: tuple[tuple[str, list[str], str], ...] = (  # as a person writes it, as it is started, seconds wanted
    ("striate --help", [STRIATE, "--help"], "0.6"),
    ("striate show resnet50", [STRIATE, "show", "resnet50"], ""),
    ("striate networks", [STRIATE, "networks"], ""),
    ("striate train --help", [STRIATE, "train", "--help"], ""),
    ("python -c 'import striate'", [sys.executable, "-c", "import striate"], ""),
    ("python -c 'pass'", [sys.executable, "-c", "pass"], ""),
    ("python -c 'import torch'", [sys.executable, "-c", "import torch"], ""),
)


def main() -> None:
    """Start each command in turn, round after round, after one round that is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs: int = parser.parse_args().runs
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in COMMANDS}
    for turn in range(runs + 1):
        for name, command, _ in COMMANDS:
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    rows = [[f"`{name}`", spread(seconds[name], ".2f"), wanted] for name, _, wanted in COMMANDS]
    heading = ["command", "seconds, median (spread)", "wanted, at most"]
    write_sheet("startup", "Time to the first answer", [heading, *rows], ["Wall time of the whole process, files in the page cache."])


if __name__ == "__main__":
    main()
