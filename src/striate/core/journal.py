"""A journal: one JSON object per line, only ever appended to, and cut back to a checkpoint when a run continues from it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from striate.core.errors import RefusedFileError
from striate.core.files import cannot_write, read_plain
from striate.core.text import json_text

MAX_BYTES = 2**30


class Journal:
    """Appends to the file `path`, each record with one write, so that a kill can spoil only the last line.

    Args:
        path: Made if it is missing. The caller holds the run's lock.
        keep_bytes: The part of an older journal to keep: as many bytes as `sync` gave when the checkpoint was made; None keeps each whole
            line.

    Raises:
        EnvironmentFault: the file cannot be opened or cut.
        RefusedFileError: it is not a plain file, or too large.
    """

    def __init__(self, path: Path, *, keep_bytes: int | None = None) -> None:
        self.path = path
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            self._descriptor = os.open(path, flags, 0o666)
            status = os.fstat(self._descriptor)
            size = status.st_size
            if not stat.S_ISREG(status.st_mode) or size > MAX_BYTES:
                self.close()
                why = f"{size:,} bytes, more than the limit of {MAX_BYTES:,}" if stat.S_ISREG(status.st_mode) else "not a plain file"
                raise RefusedFileError(f"{path}: {why}", "Move it away.")
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            held = os.read(self._descriptor, size)[:keep_bytes]
            self._size = held.rfind(b"\n") + 1  # without a half last line
            if self._size < size:
                os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, record: dict[str, Any]) -> None:
        """Add a line.

        Raises:
            EnvironmentFault: there is no space; the lines before it stay.
        """
        line = (json_text(record) + "\n").encode()
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):  # the disk is filling up: the next write says so
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise cannot_write(self.path, error, len(line)) from error
        self._size += len(line)

    def sync(self) -> int:
        """Flush every line to the disk, before a checkpoint; returns the size in bytes, for the checkpoint's state."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return self._size

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The records of a journal; a half last line, which a kill can leave, is left out.

    Raises:
        RefusedFileError: it is not a plain file, too large, or unreadable.
    """
    lines = read_plain(path, limit=MAX_BYTES).split(b"\n")[:-1]
    return [json.loads(line) for line in lines]
