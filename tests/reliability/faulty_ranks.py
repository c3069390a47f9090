"""`striate` as one of several processes, with a fault planted in one of them: faulty_ranks.py RANK FAULT WORDS...

At the third update: exception, nan, memory. At the third time that a file is brought to the disk: disk. FAULT none plants nothing.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from striate.apps.cli import main

WHEN = 3


def plant(fault: str) -> None:
    if fault == "disk":
        plant_in_fsync()
    elif fault != "none":
        plant_in_updates(fault)


def plant_in_fsync() -> None:
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) >= WHEN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    os.fsync = full


def plant_in_updates(fault: str) -> None:
    from striate.engine.processes import SharedGradient
    from striate.engine.step import LossNotFiniteError

    whole, calls = SharedGradient.__call__, []
    faults = {"nan": LossNotFiniteError(), "memory": MemoryError("out of memory"), "exception": KeyError("a bug")}

    def faulty(self: Any, compute: Any, size: int) -> Any:
        calls.append(size)

        def planted(scale: float) -> Any:
            if len(calls) == WHEN:
                raise faults[fault]
            return compute(scale)

        return whole(self, planted, size)

    SharedGradient.__call__ = faulty  # type: ignore[method-assign]


if __name__ == "__main__":
    if os.environ["RANK"] == sys.argv[1]:
        plant(sys.argv[2])
    main(sys.argv[3:])
