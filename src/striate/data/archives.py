"""Contents of packed files, read only up to a size known beforehand: a few kilobytes can unpack to more than any memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

from striate.core.errors import DataError, RefusedFileError, StriateError
from striate.core.files import read_plain
from striate.core.memory import need_memory

OVERHEAD = 2**20  # of a file's own bytes over what it holds, at most
MOST_GROWTH, SMALL = 200, 2**30  # an array of more than 1 GiB is not packed to less than a 200th where it holds pictures
PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes; the others unpack without a bound
ARRAYS_REMEDY = "Save the arrays again, with numpy.savez."

# What zipfile and NumPy raise on damaged content: a header of an array is a Python literal.
DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, RuntimeError, ValueError, TypeError, SyntaxError, ArithmeticError)


def unpacked(path: Path, limit: int, remedy: str) -> bytes:
    """The content of a plain file, gunzipped if it is packed: at most `limit` bytes.

    Raises:
        DataError: cannot be unpacked, or to more; names the file.
        RefusedFileError: not a plain file, or larger than `limit` itself.
    """
    data = read_plain(path, limit=limit + OVERHEAD, remedy=remedy)
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot be read: {error}", remedy) from None
    if len(data) > limit:
        raise DataError(f"{path}: larger than the published file of {limit:,} bytes", remedy)
    return data


def members(path: Path, names: Collection[str], limit: int, remedy: str) -> dict[str, bytes]:
    """The files called `names`, in whatever folder, of a tar.gz that holds at most `limit` bytes; nothing is unpacked to disk.

    Raises:
        DataError: one is missing, or the archive is damaged or holds more; names it.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(unpacked(path, limit, remedy)), mode="r:") as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                file = tar.extractfile(member) if member.isreg() and not member.issparse() and name in names else None
                if file is not None:
                    found[name] = file.read()
    except StriateError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, ArithmeticError) as error:
        raise DataError(f"{path}: cannot be read: {error}", remedy) from None
    if missing := [name for name in names if name not in found]:
        raise DataError(f"{path}: holds no {', '.join(missing)}", remedy)
    return found


def npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name.

    Raises:
        DataError: not an `.npz` file, damaged, or packed as no pictures are; names it.
        RefusedFileError: it holds Python objects, which only pickle could read; or it is not a plain file.
        EnvironmentFault: the arrays do not fit into the memory that is free.
    """
    if not path.is_file():  # a pipe would be waited for
        raise RefusedFileError(f"{path}: not a plain file", ARRAYS_REMEDY)
    claimed = 0
    try:
        with path.open("rb") as file:
            claimed = _claimed(path, file)
            need_memory(claimed, f"{path}: its arrays", "Use fewer pictures, or a folder of pictures, which need not fit in memory.")
            return _arrays(path, file)
    except StriateError:
        raise
    except MemoryError as error:
        if claimed < int(np.prod(getattr(error, "shape", ()), dtype=object)):  # more than there is in it: damaged
            raise _unreadable(path, error) from None
        raise
    except DAMAGE as error:
        if isinstance(error, ValueError) and "pickle" in str(error).lower():
            raise RefusedFileError(f"{path}: holds Python objects, which only pickle can read", "Save plain number arrays.") from None
        raise _unreadable(path, error) from None


def _arrays(path: Path, file: IO[bytes]) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        content = {key: arrays[key] for key in arrays.files}
    if others := [key for key, value in content.items() if not isinstance(value, np.ndarray)]:
        raise DataError(f"{path}: cannot be read as .npz: {', '.join(others)} is not an array", ARRAYS_REMEDY)
    return content


def _claimed(path: Path, file: IO[bytes]) -> int:
    """The bytes of the archive's members, by its directory; no member gives more than stated there."""
    if not zipfile.is_zipfile(file):  # a single array, a pickle, text, or cut short
        raise zipfile.BadZipFile("not a complete archive of named arrays")
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    file.seek(0)
    for entry in entries:
        if entry.compress_type not in PLAIN_METHODS:
            raise zipfile.BadZipFile(f"{entry.filename} uses another compression method than NumPy's")
        if entry.file_size > max(SMALL, MOST_GROWTH * entry.compress_size):
            message = (
                f"{entry.filename} unpacks from {entry.compress_size:,} bytes to {entry.file_size:,}, an implausible ratio for pictures"
            )
            raise DataError(f"{path}: {message}", ARRAYS_REMEDY)
    return sum(entry.file_size for entry in entries)


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(f"{path}: cannot be read as .npz: {error}", ARRAYS_REMEDY)
