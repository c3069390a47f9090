"""Folders that appear whole or not at all, and a series of them of which two good ones are always there.

A sealed folder holds files and, written last, a MANIFEST.json with the size and the SHA-256 of each. It is written under a temporary
name in the same directory and renamed when all of it is on the disk, so that a crash at any moment leaves the folders before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.files import cannot_write, read_plain, sync_directory, temporary_name, write_atomically
from striate.core.text import in_lines, shown

FORMAT = 1
MANIFEST = "MANIFEST.json"
MAX_MANIFEST_BYTES = 1_000_000
POINTER = "latest"
TEMPORARY = re.compile(r"\..+\.tmp-(\d+)")  # the names that this module and `files` write under, with the process that does
PLAIN_NAME = re.compile(r"\w[\w.-]*", re.ASCII)

Entries = dict[str, dict[str, int | str]]  # of a manifest: name -> bytes, sha256


def to_stderr(text: str) -> None:
    """Print a line for the user, the default where no other receiver is given."""
    sys.stderr.write(f"{shown(text)}\n")


def write_sealed(folder: Path, files: Iterable[tuple[str, bytes]], *, needed_bytes: int | None = None) -> None:
    """Write a sealed folder, which must not exist yet.

    Args:
        folder: Its path; the parent exists.
        files: Plain names and contents, each written before the next is requested.
        needed_bytes: Of all files together, for the message when there is no space.

    Raises:
        EnvironmentFault: it cannot be written; nothing is left of it.
    """
    temporary = temporary_name(folder)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        entries: Entries = {}
        for name, data in files:
            _write(temporary / name, data)
            entries[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        _write(temporary / MANIFEST, _manifest(entries))
        sync_directory(temporary)
        temporary.rename(folder)
        sync_directory(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)  # first, so that what is said to be free is free
        raise cannot_write(folder, error, needed_bytes) from error
    except BaseException:  # an interrupt, or the maker of a file failed
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sealed_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file of a sealed folder, one at a time, checked against the manifest.

    Raises:
        RefusedFileError: the folder is damaged, unfinished or of another format; names the file.
    """
    path = folder / MANIFEST
    manifest = _read(path, limit=MAX_MANIFEST_BYTES)
    try:
        fields = json.loads(manifest)
        version, entries = fields["format"], fields["files"]
        sizes = {name: int(entry["bytes"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedFileError(f"{path}: damaged: {error}") from None
    if version != FORMAT:
        raise RefusedFileError(f"{path}: written in format {version!r}, but this version of Striate reads format {FORMAT}")
    found: Entries = {}
    for name, size in sizes.items():
        if not PLAIN_NAME.fullmatch(name):
            raise RefusedFileError(f"{path}: damaged: {name!r} is not a file name")
        data = _read(folder / name, limit=size)
        found[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if found[name] != entries[name]:
            raise RefusedFileError(f"{folder / name}: damaged: it does not match the size and SHA-256 in {MANIFEST}")
        yield name, data
    if manifest != _manifest(found):
        raise RefusedFileError(f"{path}: damaged: it is not as it was written")


class SealedSeries:
    """Numbered sealed folders `<prefix>-<number>` in one directory: the newest two that are good stay, older ones go.

    The file `latest` names the newest. A number that is there already gets a second folder, `<prefix>-<number>-2`, so that adding
    never touches what is good. One process at a time may hold a series: its caller has a lock.

    Args:
        directory: Their folder; created if it is missing.
        prefix: Of their names.
        say: Takes a line on what was wrong but did not stop the work.

    Raises:
        EnvironmentFault: the directory cannot be made or written to, or lies behind a link elsewhere.
    """

    def __init__(self, directory: Path, prefix: str, *, say: Callable[[str], None] = to_stderr) -> None:
        self.directory, self.prefix, self.say = directory, prefix, say
        self.pattern = re.compile(re.escape(prefix) + r"-(\d+)(?:-(\d+))?", re.ASCII)
        self._good: set[str] = set()  # names that were verified
        self._not_removed: set[str] = set()  # names that were warned about
        _probe(directory)
        remove_leftovers(directory, say)

    def add(self, number: int, files: Iterable[tuple[str, bytes]], *, needed_bytes: int | None = None) -> Path:
        """Write a sealed folder, read it back, point to it, and remove what is older than the one before it.

        Raises:
            EnvironmentFault: it cannot be written, or reads back otherwise; what was there stays.
        """
        folder = self.directory / self._free_name(number)
        write_sealed(folder, files, needed_bytes=needed_bytes)
        damage = self._damage(folder.name)
        if damage is not None:
            raise EnvironmentFault(f"{damage}, directly after writing", "Check the disk, or choose another `output`.")
        write_atomically(self.directory / POINTER, f"{folder.name}\n".encode())
        self._remove_older_than(folder.name)
        return folder

    def newest(self, *, strict: bool = False) -> Path | None:
        """The newest intact folder, or None if there never was one. Reports which are damaged.

        Raises:
            RefusedFileError: there were some and none is good, or with `strict`, the newest is not; names each.
        """
        damages: list[str] = []
        pointed = self._pointed()
        for name in sorted({*self._names(), *([pointed] if pointed else [])}, key=self._order, reverse=True):
            damage = self._damage(name)
            if damage is None:
                if damages:
                    self.say(in_lines(["WARNING: a checkpoint is damaged:", *damages, f"continuing from the previous one: {name}"]))
                return self.directory / name
            damages.append(damage)
            if strict:
                break
        if damages:
            remedy = "Restore them from an intact copy, or start a new run."
            raise RefusedFileError(in_lines(["no checkpoint to continue from:", *damages]), remedy)
        return None

    def _names(self) -> list[str]:
        try:
            return [entry.name for entry in os.scandir(self.directory) if self.pattern.fullmatch(entry.name)]
        except OSError as error:
            raise cannot_write(self.directory, error) from error

    def _order(self, name: str) -> tuple[int, int]:
        """Newest last: by number, then by the second number."""
        number, again = (int(digits or 1) for digits in self.pattern.fullmatch(name).groups())  # type: ignore[union-attr]
        return number, again

    def _free_name(self, number: int) -> str:
        name = f"{self.prefix}-{number:08d}"
        taken = [again for taken_number, again in map(self._order, self._names()) if taken_number == number]
        return f"{name}-{max(taken) + 1}" if taken else name

    def _pointed(self) -> str | None:
        """The target of `latest`; None if there is no pointer or an unreadable one."""
        try:
            name = _read(self.directory / POINTER, limit=1000).decode().strip()
        except (RefusedFileError, UnicodeDecodeError):
            return None
        return name if self.pattern.fullmatch(name) else None

    def _damage(self, name: str) -> str | None:
        """The damage of a folder; None if it is intact."""
        try:
            for _ in sealed_files(self.directory / name):
                pass
        except RefusedFileError as error:
            self._good.discard(name)
            return error.message
        self._good.add(name)
        return None

    def _remove_older_than(self, newest: str) -> None:
        """Remove all but the newest and the newest other one that is intact; nothing, if no other is."""
        others = sorted((name for name in self._names() if name != newest), key=self._order, reverse=True)
        second = next((name for name in others if name in self._good or self._damage(name) is None), None)
        if second is not None:
            for name in others:
                if name != second:
                    self._remove(name)

    def _remove(self, name: str) -> None:
        """Rename first, so that a kill in the middle leaves a temporary folder and not half a one."""
        leftover = temporary_name(self.directory / name)
        try:
            (self.directory / name).rename(leftover)
            shutil.rmtree(leftover)
        except OSError as error:
            if name not in self._not_removed:
                self.say(f"WARNING: {self.directory / name}: cannot remove this old checkpoint: {error.strerror or error}")
            self._not_removed.add(name)


def remove_leftovers(directory: Path, say: Callable[[str], None] = to_stderr) -> int:
    """Remove temporary files and folders of ended processes, and of this one, at any depth; returns their number, which is also reported.

    Call it before this process writes in `directory`.
    """
    count = 0
    for folder, folders, files in os.walk(directory):
        for name in sorted([*folders, *files]):
            match = TEMPORARY.fullmatch(name)
            if match and (int(match[1]) == os.getpid() or not is_alive(int(match[1]))):
                path = Path(folder, name)
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        path.unlink()
                count += not os.path.lexists(path)
    if count:
        say(f"{directory}: removed {count} unfinished {'file' if count == 1 else 'files'} of a run that was killed")
    return count


def is_alive(pid: int) -> bool:
    """Return whether a process of this number runs on this machine; True if that cannot be determined."""
    if os.name == "nt":  # there, os.kill ends the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _probe(directory: Path) -> None:
    """Create `directory` and try to write in it, so that a fault shows before the work and not after it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        sync_directory(directory.parent)
        inside = directory.resolve().is_relative_to(directory.parent.resolve())
    except FileExistsError:
        raise EnvironmentFault(f"{directory}: exists and is not a folder", "Move it away, or choose another `output`.") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: Python 3.11 on links in a circle
        raise cannot_write(directory, error if isinstance(error, OSError) else OSError(str(error))) from error
    if not inside:
        raise EnvironmentFault(f"{directory}: is a link to {directory.resolve()}, outside the run", "Link the whole run folder instead.")
    write_atomically(directory / "probe", b"")
    (directory / "probe").unlink()


def _write(path: Path, data: bytes) -> None:
    """A new file that is on the disk on return."""
    with path.open("xb", buffering=0) as file:
        written = 0
        while written < len(data):
            written += file.write(memoryview(data)[written:])
        os.fsync(file.fileno())


def _read(path: Path, *, limit: int) -> bytes:
    """The bytes of a plain file of at most `limit`; no link is followed."""
    return read_plain(path, limit=limit, follow_links=False)


def _manifest(entries: Entries) -> bytes:
    return (json.dumps({"format": FORMAT, "files": entries}, indent=2) + "\n").encode()
