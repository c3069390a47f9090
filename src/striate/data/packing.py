"""Room for decoded pictures: in memory, or in a file where they would take too much of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from striate.core.errors import DataError, EnvironmentFault
from striate.core.files import cannot_write
from striate.core.memory import free_memory_bytes, machine_memory_bytes
from striate.data.pieces import PictureFile

SHARE_OF_MEMORY, SHARE_OF_FREE = 0.25, 0.5  # an array beyond this share of the machine's memory, or of what is free of it, lies in a file
ROWS_AT_A_TIME = 1024


def memory_bytes() -> int:
    """This machine's memory; 8 GiB where the system does not say."""
    return machine_memory_bytes() or 8 * 2**30


def data_directory(data_dir: Path | None = None) -> Path:
    """The folder of named sets and packed pictures: `data_dir`, else $STRIATE_DATA, else ~/.cache/striate/data."""
    return Path(data_dir or os.environ.get("STRIATE_DATA") or "~/.cache/striate/data").expanduser()


def room_for(shape: tuple[int, ...]) -> np.ndarray:
    """An array of uint8, to be filled.

    One that takes more than a quarter of the machine's memory, or more than half of what is free, is a map of a nameless file in
    `packed/` of the data directory, whose space is claimed here and given back when the array goes, also after a crash.

    Raises:
        EnvironmentFault: no space for that file.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if size <= min(SHARE_OF_MEMORY * memory_bytes(), SHARE_OF_FREE * free_memory_bytes()):
        return np.empty(shape, np.uint8)
    folder = data_directory() / "packed"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _claim(file.fileno(), folder, size)
            packed: np.ndarray = np.memmap(file, np.uint8, "r+", shape=shape)
            return packed
    except OSError as error:
        message = cannot_write(folder / "pictures", error, needed_bytes=size).message
        raise EnvironmentFault(message, "Free some space, or let STRIATE_DATA name a folder on a larger disk.") from error


def put(images: np.ndarray, place: int, pixels: np.ndarray, path: PictureFile) -> None:
    """Copy the picture of `path` into its row of `images` (n, h, w, c).

    Raises:
        DataError: it has another shape than its header said when the room was made.
    """
    if pixels.shape != images.shape[1:]:
        message = f"{path}: has changed since its header was read: {pixels.shape} instead of {images.shape[1:]}"
        raise DataError(message, "Start again, and do not change the pictures meanwhile.")
    images[place] = pixels


def take_rows(images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The rows `indices` of `images`; those of a file go to a file, so that they never fill the memory."""
    if not isinstance(images, np.memmap):
        return np.take(images, indices, axis=0)
    taken = room_for((len(indices), *images.shape[1:]))
    for start in range(0, len(indices), ROWS_AT_A_TIME):
        taken[start : start + ROWS_AT_A_TIME] = images[indices[start : start + ROWS_AT_A_TIME]]
    return taken


def _claim(descriptor: int, folder: Path, size: int) -> None:
    """Make the file `size` bytes long with its space set aside: a full disk under a map would end the process without a message."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(descriptor, size)
