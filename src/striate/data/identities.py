"""The identity of a picture, also after it was renamed or moved: its name below the data's folder, and a digest of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from striate.core.errors import DataError
from striate.data.pieces import PictureFile, Piece

DIGEST_BYTES = 8  # of a SHA-256: among a million pictures, two share one by chance once in 40 million data sets


class Identities(NamedTuple):
    """Pictures in an order: their names, which differ, and the digests of their contents, which are equal where they are copies."""

    names: tuple[str, ...]  # with forward slashes
    digests: tuple[bytes, ...]

    def take(self, places: np.ndarray | Sequence[int]) -> Identities:
        """Those at `places` (n,) whole numbers, in that order."""
        chosen = np.asarray(places, np.int64).tolist()
        return Identities(tuple(self.names[place] for place in chosen), tuple(self.digests[place] for place in chosen))


def file_digests(paths: Sequence[PictureFile], known: Mapping[PictureFile, bytes] | None = None) -> tuple[bytes, ...]:
    """A digest of the bytes of each file, or piece of one, read by several threads.

    Args:
        paths: The files.
        known: The SHA-256 of files that were read before; these are not read again.

    Raises:
        DataError: a file cannot be read; names it.
    """
    known = known or {}
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(lambda path: (known.get(path) or _sha256(path))[:DIGEST_BYTES], paths))


def _sha256(path: PictureFile) -> bytes:
    if isinstance(path, Piece):
        return hashlib.sha256(path.content()).digest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", "Check that it is there, and its permissions.") from None


def picture_digests(images: np.ndarray) -> tuple[bytes, ...]:
    """A digest of the size and pixels of each of `images` (N, H, W, C) uint8."""
    shape = repr(images.shape[1:]).encode()
    return tuple(hashlib.sha256(shape + np.ascontiguousarray(image).tobytes()).digest()[:DIGEST_BYTES] for image in images)
