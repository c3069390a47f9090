"""Writing files so that a crash leaves the old file or the new one, never neither; reading plain files of a known greatest size."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from striate.core.errors import EnvironmentFault, RefusedFileError, StriateError, UsageError
from striate.core.text import json_text

GROWTH_BYTES = 2**20


def given_path(value: object, what: str) -> Path:
    """The path that `value` is; `what` is what errors call it.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{what}: expected a path, got {'None' if value is None else f'a {type(value).__name__}'}")
    return Path(value)


def read_plain(path: Path, *, limit: int, remedy: str = "", follow_links: bool = True) -> bytes:
    """The bytes of a plain file of at most `limit` bytes; no pipe or device is waited for.

    Args:
        path: The file.
        limit: The most bytes it may have.
        remedy: The remedy in the errors.
        follow_links: Whether a link to a plain file is read too.

    Raises:
        RefusedFileError: not a plain file, larger than `limit`, or unreadable; names it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | (0 if follow_links else getattr(os, "O_NOFOLLOW", 0)))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RefusedFileError(f"{path}: not a plain file", remedy)
            if status.st_size <= limit:
                data = file.read(min(status.st_size, limit) + 1)  # no room is taken for what is not there
                while len(data) <= limit:  # what grows while it is read, and what tells no size
                    more = file.read(GROWTH_BYTES)
                    if not more:
                        return data
                    data += more
            raise RefusedFileError(f"{path}: {status.st_size:,} bytes, more than the limit of {limit:,}", remedy)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow_links:
            raise RefusedFileError(f"{path}: not a plain file", remedy) from None
        raise RefusedFileError(f"{path}: cannot read: {error.strerror or error}", remedy) from None


def write_atomically(path: Path, data: bytes, *, read_back: Callable[[bytes], object] | None = None, field: str = "output") -> None:
    """Replace `path` by `data`: temp file in the same directory, fsync, rename, fsync of the directory.

    Args:
        path: The file.
        data: Its new content.
        read_back: Is given the bytes as the disk gives them back, before the file gets its name; what it raises leaves the old file.
        field: The argument that named the file, for the remedy.

    Raises:
        EnvironmentFault: no space, no permission, a folder of that name, the directory is gone, or the disk gives back other bytes; the
            old file is left as it was.
    """
    if path.is_dir():
        raise EnvironmentFault(f"{path}: cannot write a file: this is a folder", "Give the name of a file in it.")
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:  # a plain open, so that the umask decides who may read it
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if read_back is not None:
            read_back(_from_disk(temporary, path, data))
        temporary.replace(path)
        sync_directory(path.parent)
    except StriateError:  # EnvironmentFault is an OSError too
        raise
    except OSError as error:
        raise cannot_write(path, error, needed_bytes=len(data), field=field) from error
    finally:  # after an interrupt too
        with contextlib.suppress(OSError):
            temporary.unlink()


def temporary_name(path: Path) -> Path:
    """The temporary file from which `path` is replaced: beside it, with a name that is not too long."""
    return path.with_name(f".{shortened(path.name)}.tmp-{os.getpid()}")


def shortened(name: str, most_bytes: int = 200) -> str:
    """The beginning of a name that leaves room for more: file systems take 255 bytes, and a letter may need four."""
    data = os.fsencode(name)
    return name if len(data) <= most_bytes else data[:most_bytes].decode(errors="ignore")


def name_too_long(error: OSError) -> UsageError | None:
    """The error for a name that the file system cannot hold, where `error` is one."""
    if error.errno != errno.ENAMETOOLONG:
        return None
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "a name"
    shown = name if len(name) <= 80 else f"{name[:40]}...{name[-30:]}"
    return UsageError(
        f"{shown}: the name is too long", "Most file systems allow 255 bytes per name, and 4,096 per path: choose a shorter one."
    )


def _from_disk(temporary: Path, path: Path, data: bytes) -> bytes:
    """The bytes of `temporary`, from the disk and not from the system's memory where that can be asked, if they are `data`.

    Raises:
        EnvironmentFault: they are others; names `path`.
    """
    with temporary.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found = file.read()
    if found != data:
        raise EnvironmentFault(
            f"{path}: the bytes read back from the disk differ from those written", "Check the disk, or choose another `output`."
        )
    return found


def write_json(path: Path, data: Any) -> None:
    """Write plain data as JSON, whole or not at all; errors as of `write_atomically`."""
    write_atomically(path, (json_text(data, indent=2) + "\n").encode())


def write_yaml(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data as YAML, in its order; errors as of `write_atomically`."""
    import yaml

    write_atomically(path, yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True).encode())


def sync_directory(directory: Path) -> None:
    """Make a rename in `directory` survive a power cut, where the system can."""
    if os.name == "nt":  # directories cannot be opened there
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where it is not there.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, for files that get their place once they were tried.

    Raises:
        EnvironmentFault: it cannot be made; or what was raised about a file in it, by the name that the file was to get.
    """
    folder, place = temporary_name(path), str(path).removesuffix(path.name)
    make_folder(folder)
    try:
        yield folder
    except EnvironmentFault as error:
        raise EnvironmentFault(error.message.replace(f"{folder}{os.sep}", place), error.remedy) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cannot_write(path: Path, error: OSError, needed_bytes: int | None = None, field: str = "output") -> EnvironmentFault:
    """The error to raise when writing `path` failed with `error`."""
    if (too_long := name_too_long(error)) is not None:
        return EnvironmentFault(too_long.message, too_long.remedy)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = ""
        with contextlib.suppress(OSError):
            free = f"; {shutil.disk_usage(path.parent).free:,} bytes are free"
        need = f" and {needed_bytes:,} bytes are needed" if needed_bytes is not None else ""
        return EnvironmentFault(f"{path}: no space left on the device{free}{need}", f"Free some space, or choose another `{field}`.")
    if error.errno == errno.EFBIG:
        larger = f"{path}: larger than this process or the file system lets a file be"
        return EnvironmentFault(larger, f"Raise the limit (`ulimit -f`), or choose another `{field}`.")
    return EnvironmentFault(f"{path}: cannot write: {error.strerror or error}", f"Check the permissions, or choose another `{field}`.")
