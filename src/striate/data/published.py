"""Files as the named sets' publishers offer them: idx, CIFAR's python batches, SVHN's MATLAB files, KMNIST's arrays."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import DataError, RefusedFileError
from striate.core.files import read_plain
from striate.data.archives import OVERHEAD, members, npz_arrays, unpacked
from striate.data.matlab import arrays_of_matlab
from striate.data.pickled import MAX_BYTES, arrays_of_pickle

REMEDY = "Remove the file and fetch it again, for instance with `download=True`."
CIFAR_BATCHES = {  # MD5 of each file inside the archives
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}


def read_idx(path: Path, *, rank: int, most: int) -> np.ndarray:
    """The uint8 array of an idx file (LeCun's format), gzipped or not.

    Args:
        path: The file.
        rank: The number of axes it must have.
        most: The maximum number of bytes of the array.

    Raises:
        DataError: cut short, not idx, too large, or of another rank; names the file.
        RefusedFileError: not a plain file, or of far more bytes.
    """
    data = unpacked(path, 4 + 4 * rank + most, REMEDY)
    if len(data) < 4 + 4 * rank or data[:4] != bytes((0, 0, 8, rank)):
        raise DataError(f"{path}: not an idx file of uint8 with {rank} axes", REMEDY)
    shape = tuple(int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(rank))
    if len(data) != 4 + 4 * rank + math.prod(shape):
        raise DataError(f"{path}: has {len(data):,} bytes, which does not fit its shape {shape}", REMEDY)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_npz(path: Path) -> np.ndarray:
    """The one array of an `.npz` file, as KMNIST has them.

    Raises:
        DataError: not such a file; names it.
        RefusedFileError: it holds Python objects.
    """
    content = npz_arrays(path)
    if len(content) != 1:
        raise DataError(f"{path}: must hold one array, holds {', '.join(content) or 'none'}", REMEDY)
    return next(iter(content.values()))


def read_cifar(place: Path, batches: Sequence[str], labels_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) uint8 and labels (N,) of published batches, in their order.

    Args:
        place: The folder that holds the batches, or the publisher's tar.gz.
        batches: Their names.
        labels_key: "labels" for CIFAR-10, "fine_labels" for CIFAR-100.

    Raises:
        DataError: one is missing, or the archive is damaged.
        RefusedFileError: one is not as it was published.
    """
    contents = _cifar_contents(place, batches)
    labels = np.concatenate([np.asarray(content[labels_key]) for content in contents])
    parts = [np.asarray(content["data"]).reshape(-1, 3, 32, 32) for content in contents]
    images = np.empty((sum(map(len, parts)), 32, 32, 3), np.uint8)
    start = 0
    for part in parts:
        for channel in range(3):  # several times as fast as a transposed copy
            images[start : start + len(part), ..., channel] = part[:, channel]
        start += len(part)
    return images, labels


def read_cifar_classes(place: Path) -> tuple[str, ...]:
    """The names of CIFAR-100's fine classes."""
    (content,) = _cifar_contents(place, ["meta"])
    return tuple(map(str, content["fine_label_names"]))


def _cifar_contents(place: Path, batches: Sequence[str]) -> list[dict[str, Any]]:
    """The batches, each read only after its checksum was found right."""
    data = members(place, batches, MAX_BYTES, REMEDY) if place.is_file() else _batches_in_folder(place, batches)
    for batch in batches:
        if hashlib.md5(data[batch], usedforsecurity=False).hexdigest() != CIFAR_BATCHES[batch]:
            raise RefusedFileError(f"{place / batch}: not the batch that was published (its MD5 differs)", REMEDY)
    return [arrays_of_pickle(data[batch]) for batch in batches]


def _batches_in_folder(folder: Path, batches: Sequence[str]) -> dict[str, bytes]:
    return {batch: read_plain(folder / batch, limit=MAX_BYTES, remedy=REMEDY) for batch in batches}


def read_svhn(path: Path, *, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) uint8 and labels (N,) of a MATLAB file with X (32, 32, 3, N) and y (N, 1), in which 10 stands for digit 0.

    Args:
        path: The file.
        most: The maximum number of pictures.

    Raises:
        DataError: not such a file, damaged, or of more pictures; names it.
        RefusedFileError: not a plain file, or of far more bytes.
    """
    size = most * 32 * 32 * 3
    try:
        content = arrays_of_matlab(read_plain(path, limit=size + OVERHEAD + 8 * most, remedy=REMEDY), ("X", "y"), size)
    except RefusedFileError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: cannot be read: {error}", REMEDY) from None
    if missing := [name for name in ("X", "y") if name not in content]:
        raise DataError(f"{path}: holds no {' and no '.join(map(repr, missing))}; expected X and y", REMEDY)
    images, labels = content["X"], content["y"].reshape(-1)
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
        raise DataError(f"{path}: X must be uint8 (32, 32, 3, {len(labels)}), got {images.dtype} {images.shape}", REMEDY)
    if not np.isin(labels, range(1, 11)).all():
        raise DataError(f"{path}: y must be 1 to 10, where 10 stands for digit 0", REMEDY)
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels.astype(np.int64) % 10
