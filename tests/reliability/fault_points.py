"""The moments of a save at which something can go wrong: each entry into and return from a call that changes a file system.

A profile function sees each call of a C function, so that the code under test is not changed for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

CALLS = frozenset(
    {"open", "write", "flush", "fsync", "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "ftruncate", "truncate", "symlink"}
)


def at_point(k: int, act: Callable[[str], None], work: Callable[[], Any], *, returns: bool = True) -> int:
    """Run `work` and call `act` with the name of the call at its k-th point, from 1; how many points were passed.

    With k = 0 the points are only counted. `act` may end the process, or raise in place of the call.
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
    return passed
