"""Total and free memory of this machine, and a budget of it that several threads share."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from striate.core.errors import EnvironmentFault

MEMINFO, CGROUP, STATM = Path("/proc/meminfo"), Path("/sys/fs/cgroup"), Path("/proc/self/statm")
ALWAYS_THERE = 2**28  # bytes: for less, it is not worth asking


def machine_memory_bytes() -> int | None:
    """This machine's memory; None if the system does not report it, as on Windows."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_memory_bytes() -> int:
    """Bytes that this process can still allocate: those available to the system, or left by a limit of a container or `ulimit -v`.

    Where none of them is known, half of all memory; 4 GiB where not even that is.
    """
    known = [value for value in (available_bytes(), container_bytes(), limit_bytes()) if value is not None]
    return max(0, min(known)) if known else (machine_memory_bytes() or 8 * 2**30) // 2


def available_bytes() -> int | None:
    """Linux's own estimate of what can be taken without swapping."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def container_bytes() -> int | None:
    """Bytes that the limit of a control group leaves; its file cache counts as free."""
    try:
        limit, used = (CGROUP / "memory.max").read_text().strip(), int((CGROUP / "memory.current").read_text())
        words = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(limit) - used + int(words.get("inactive_file", 0)) if limit.isdigit() else None


def limit_bytes() -> int | None:
    """Bytes of address space that `ulimit -v` leaves this process; None without such a limit."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, AttributeError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else limit - used


def need_memory(size: int, what: str, remedy: str) -> None:
    """Refuse to go on unless `size` bytes are free: a machine that runs out of memory kills programs without a message.

    Args:
        size: The number of bytes that will be allocated.
        what: The object that needs them, with the name of the file: "x.npz: its arrays".
        remedy: The remedy if it is too much.

    Raises:
        EnvironmentFault: less is free.
    """
    free = free_memory_bytes()
    if size > free:
        raise EnvironmentFault(f"{what}: {size / 2**20:,.0f} MiB are needed, and {free / 2**20:,.0f} MiB are free", remedy)


def need_parameters(count: int, size: int, name: str, remedy: str) -> None:
    """Refuse to make the `count` parameters of the network `name` unless the `size` bytes are free that they take with their gradients.

    Raises:
        EnvironmentFault: less is free.
    """
    if size > ALWAYS_THERE:
        need_memory(size, f"{name}: its {count:,} parameters", remedy)


class MemoryShare:
    """A budget of the free memory that threads share: a thread that needs more than is left waits; one alone may take any amount.

    Args:
        share: Of the memory that is free when the first of them takes some.
        at_least: A request of fewer bytes never waits.
    """

    def __init__(self, share: float, at_least: int) -> None:
        self.share = share
        self.at_least = at_least
        self.changed = threading.Condition()
        self.taken = 0
        self.limit = 0.0

    @contextlib.contextmanager
    def take(self, size: int, what: str, remedy: str) -> Iterator[None]:
        """Wait for `size` bytes, and return them at the end.

        Raises:
            EnvironmentFault: not so many are free on this machine.
        """
        if size < self.at_least:
            yield
            return
        with self.changed:
            self.changed.wait_for(lambda: self.taken == 0 or self.taken + size <= self.limit)
            if self.taken == 0:
                self.limit = self.share * free_memory_bytes()
                need_memory(size, what, remedy)
            self.taken += size
        try:
            yield
        finally:
            with self.changed:
                self.taken -= size
                self.changed.notify_all()
