"""One process at a time in a run folder: a lock that is released when the process that holds it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from striate.core.errors import EnvironmentFault
from striate.core.files import cannot_write, read_plain
from striate.core.sealed import is_alive, remove_leftovers, to_stderr

LOCK = "run.lock"
OPENED = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # follow no link, wait for no pipe
SECONDS_FOR_THE_NAME = 1.0  # that the loser waits until the winner has written who it is

_open_here: set[int] = set()  # descriptors of locks that this process holds


def _forget_in_child() -> None:
    """A forked child shares the lock: close its copy, so that the lock is released when the parent ends."""
    for descriptor in _open_here:
        os.close(descriptor)
    _open_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class RunLock:
    """Holds `folder/run.lock` from its making until `release`, the end of a `with`, or the end of the process, however it comes.

    Who gets the lock clears what killed processes left half written in the folder.

    Args:
        folder: The run folder.
        say: Takes a line on what was cleared; the default prints it to stderr.

    Raises:
        EnvironmentFault: another process holds it, which the message names with its machine and start; or the file cannot be locked.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None] = to_stderr) -> None:
        self.path = folder / LOCK
        try:
            self._descriptor = os.open(self.path, OPENED, 0o666)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise EnvironmentFault(f"{self.path}: not a plain file", "Move it away, or choose another `output`.")
            if not _locked(self._descriptor, self.path):
                raise _taken(folder, self._holder())
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "started": datetime.now().astimezone().isoformat(timespec="seconds")}
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, (json.dumps(owner) + "\n").encode())
        except OSError as error:
            os.close(self._descriptor)
            if isinstance(error, EnvironmentFault):
                raise
            raise cannot_write(self.path, error) from error
        _open_here.add(self._descriptor)
        remove_leftovers(folder, say)

    def release(self) -> None:
        """Release the lock. The file stays: removing it would let two processes in at once."""
        if self._descriptor in _open_here:
            _open_here.discard(self._descriptor)
            with contextlib.suppress(OSError):  # a full disk must not keep the lock
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _holder(self) -> str:
        """The holder of the lock, in words; it writes them directly after locking."""
        end = time.monotonic() + SECONDS_FOR_THE_NAME
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                if words := _in_words(os.read(self._descriptor, 1000)):
                    return words
            time.sleep(0.01)
        return "a process that has not recorded its id"


def refuse_held(folder: Path) -> None:
    """Refuse a folder that another process uses, by what its lock file says; nothing is locked, which might disturb its start.

    Raises:
        EnvironmentFault: one does, and it is alive.
    """
    holder = None
    with contextlib.suppress(ValueError, KeyError, TypeError):  # RefusedFileError too: what is no lock tells of no process
        owner = read_plain(folder / LOCK, limit=1000)
        holder = _in_words(owner) if json.loads(owner)["pid"] != os.getpid() else None
    if holder is not None:
        raise _taken(folder, holder)


def _in_words(owner: bytes) -> str | None:
    """The holder of a lock, from its file; None if that process has ended and only left the file."""
    fields = json.loads(owner)
    pid, host, started = int(fields["pid"]), str(fields["host"]), str(fields["started"])
    return f"process {pid} on {host}, since {started}" if host != socket.gethostname() or is_alive(pid) else None


def _taken(folder: Path, holder: str) -> EnvironmentFault:
    remedy = "Wait until it is done, stop it, or choose another `output`."
    return EnvironmentFault(f"{folder}: another run is using this folder: {holder}", remedy)


def _locked(descriptor: int, path: Path) -> bool:
    """Try to take the lock; return whether it is ours now.

    Raises:
        EnvironmentFault: the file system cannot lock.
    """
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, 1_000_000, os.SEEK_SET)  # past what is read: Windows locks reading too
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        message = f"{path}: cannot lock: {error.strerror or error}"
        raise EnvironmentFault(message, "Choose an `output` on a disk that can lock files.") from error
    return True
