"""Kill a save at each of its points, or let the system fail there, and look at what is left: prints one JSON object a point.

Runs as a program, without torch: python faulty_saves.py FOLDER kill|fail

A profile function sees each call of a C function, so that the code under test is not changed for it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from striate.core.errors import EnvironmentFault
from striate.core.sealed import SealedSeries, sealed_files

CALLS = frozenset(
    {"open", "write", "flush", "fsync", "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "ftruncate", "truncate", "symlink"}
)


def at_point(k: int, act: Callable[[str], None], work: Callable[[], Any], *, returns: bool = True) -> None:
    """Run `work` and call `act` with the name of the call at its k-th point, from 1.

    `act` may end the process, or raise in place of the call.
    """
    passed = 0

    def look(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal passed
        if event == "c_call" or (returns and event == "c_return"):
            name = getattr(function, "__name__", "")
            if name in CALLS:
                passed += 1
                if passed == k:
                    act(name)

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)


def files(step: int) -> list[tuple[str, bytes]]:
    """Six files whose content tells the step."""
    return [(f"part{number}.bin", bytes([step, number]) * (500 * number)) for number in range(1, 6)] + [("state.json", b"%d" % step)]


def start(folder: Path) -> SealedSeries:
    """A directory with checkpoints 1 and 2."""
    series = SealedSeries(folder, "ckpt", say=lambda _: None)
    for step in (1, 2):
        series.add(step, files(step))
    return series


def killed(folder: Path, k: int) -> str:
    """The call at which a child died that saved checkpoint 3; empty if it lived."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        series = SealedSeries(folder, "ckpt", say=lambda _: None)

        def die(name: str) -> None:
            os.write(writing, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)

        at_point(k, die, lambda: series.add(3, files(3)))
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    name = os.read(reading, 100).decode()
    os.close(reading)
    return name if os.WIFSIGNALED(status) else ""


def left(folder: Path) -> dict[str, object]:
    """What a new start finds, and whether it can go on."""
    before = len([path for path in folder.iterdir() if path.name.startswith(".")])
    said: list[str] = []
    series = SealedSeries(folder, "ckpt", say=said.append)
    after = len([path for path in folder.iterdir() if path.name.startswith(".")])
    newest = series.newest()
    step = int(dict(sealed_files(newest))["state.json"]) if newest else 0
    whole = sum(series._damage(name) is None for name in series._names())
    exact = newest is not None and list(sealed_files(newest)) == files(step)
    again = dict(sealed_files(series.add(3, files(3)))) == dict(files(3)) and series.newest() != newest
    return {"step": step, "exact": exact, "whole": whole, "leftovers": before, "uncleaned": after, "said": said, "goes_on": again}


def failed(folder: Path, k: int, number: int) -> dict[str, object]:
    """What a save says whose k-th call fails with error `number`."""
    said: list[str] = []
    series = SealedSeries(folder, "ckpt", say=said.append)
    call = ""

    def fail(name: str) -> None:
        nonlocal call
        call = name
        raise OSError(number, os.strerror(number))

    try:
        at_point(k, fail, lambda: series.add(3, files(3), needed_bytes=15_000), returns=False)
    except EnvironmentFault as error:
        return {"call": call, "error": error.message, "exit_code": error.exit_code, "said": said}
    return {"call": call, "error": "", "said": said}


def main() -> None:
    base, kind = Path(sys.argv[1]), sys.argv[2]
    start(base / "base")
    for number in [0] if kind == "kill" else [errno.ENOSPC, errno.EIO, errno.EDQUOT]:
        k = 1
        while True:
            folder = base / f"{number}-{k}"
            shutil.copytree(base / "base", folder)
            fault = failed(folder, k, number) if number else {"call": killed(folder, k)}
            if not fault["call"]:
                break
            found = {"point": k, "errno": number, "fault": fault, **left(folder)}
            print(json.dumps(found))
            shutil.rmtree(folder)
            k += 1


if __name__ == "__main__":
    main()
