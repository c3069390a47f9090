"""Kill a save of a checkpoint at each call that it makes of the system, and let the system fail each of them; count what is left whole.

saves [--json]

The points are those of tests/reliability/faulty_saves.py: before and after each open, write, flush, fsync, mkdir, rename and unlink.
With --json, print the counts only and write no sheet.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sheet import write_sheet

PROGRAM = Path(__file__).parents[1] / "tests" / "reliability" / "faulty_saves.py"
FAULTS = {"no space (ENOSPC)": "ENOSPC", "over the quota (EDQUOT)": "EDQUOT", "an error of the disk (EIO)": "EIO"}


def main() -> None:
    """Kills first, failures second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    killed, failed = outcomes("kill"), outcomes("fail")
    rows = [["killed", *counts(killed)]]
    rows += [[words, *counts([one for one in failed if one["errno"] == getattr(errno, name)])] for words, name in FAULTS.items()]
    if asked.json:
        print(json.dumps({words: good for words, _, good, _ in rows}))
        return
    wanted = (
        "As wanted: the newest whole checkpoint is 2 or 3, exactly as it was saved; two are whole; leftovers go at the next start; "
        "a save then succeeds; and a failure of the system is an error with exit code 4 that names the folder, where it stops the save."
    )
    notes = [
        "A directory holds checkpoints 1 and 2, and 3 is saved: six files, a manifest, a rename, a pointer, and the removal of the oldest.",
        wanted,
    ]
    heading = ["at each call of a save", "points", "as wanted", "the new checkpoint was there"]
    write_sheet("saves", "Saves that were killed or failed at each of their calls", [heading, *rows], notes)


def outcomes(kind: str) -> list[dict[str, Any]]:
    """What is left at each point."""
    with tempfile.TemporaryDirectory(prefix="saves-") as folder:
        command = [sys.executable, str(PROGRAM), folder, kind]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    return [json.loads(line) for line in run.stdout.splitlines()]


def counts(found: list[dict[str, Any]]) -> list[str]:
    """Points, how many are as wanted, and at how many the new checkpoint was there."""
    good = sum(is_good(one) for one in found)
    return [str(len(found)), f"{good}/{len(found)}", str(sum(one["step"] == 3 for one in found))]


def is_good(one: dict[str, Any]) -> bool:
    """Whether what is left is whole, and was said."""
    fault = one["fault"]
    told = not fault.get("error") or (fault["exit_code"] == 4 and one["leftovers"] == 0)
    said = fault.get("error") is not None or one["errno"] == 0
    return bool(one["step"] in (2, 3) and one["exact"] and one["whole"] >= 2 and not one["uncleaned"] and one["goes_on"] and told and said)


if __name__ == "__main__":
    main()
