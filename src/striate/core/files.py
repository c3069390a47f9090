"""Writing files so that a crash leaves the old file or the new one, never neither."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

from striate.core.errors import EnvironmentFault


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: temp file in the same directory, fsync, rename, fsync of the directory.

    Raises:
        EnvironmentFault: no space, no permission, a folder of that name, or the directory is gone; the old file is left as it was.
    """
    if path.is_dir():
        raise EnvironmentFault(f"{path}: cannot write a file: this is a folder", "Give the name of a file in it.")
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:  # a plain open, so that the umask decides who may read it
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise cannot_write(path, error, needed_bytes=len(data)) from error
    finally:  # after an interrupt too
        with contextlib.suppress(OSError):
            temporary.unlink()


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


def cannot_write(path: Path, error: OSError, needed_bytes: int | None = None) -> EnvironmentFault:
    """The error to raise when writing `path` failed with `error`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = ""
        with contextlib.suppress(OSError):
            free = f"; {shutil.disk_usage(path.parent).free:,} bytes are free"
        need = f" and {needed_bytes:,} bytes are needed" if needed_bytes is not None else ""
        return EnvironmentFault(f"{path}: no space left on the device{free}{need}", "Free some space, or choose another --output.")
    return EnvironmentFault(f"{path}: cannot write: {error.strerror or error}", "Check the permissions, or choose another --output.")
