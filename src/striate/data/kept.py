"""Pictures that were decoded before, kept in the user's cache by the content of their files and the input that they were fitted to."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Self

import numpy as np
import PIL
from PIL import features

from striate.core.errors import EnvironmentFault, UsageError
from striate.core.files import make_folder, write_atomically
from striate.core.images import ImageSpec
from striate.data.decode import decode_image, picture_bytes
from striate.data.packing import data_directory
from striate.data.pieces import PictureFile

CACHE_SIZE, USUAL_SIZE = "STRIATE_CACHE_SIZE", 10.0  # in GiB
SHARE_OF_DISK = 0.5  # of what is free, that may be taken
WORTH_KEEPING = 4 * 2**20  # bytes: fewer are decoded as fast as they are found
PART = 64 * 2**20  # bytes of a file
DIGEST = 32  # bytes
DECODER = 1  # grows with every change that gives other pixels


class KeptPictures:
    """The pictures that are kept for one input, and others as they are decoded; threads may share it.

    Each file, `pictures/INPUT/NAME.rows` of the data directory, holds the SHA-256 of n picture files, and then their n pictures. It is
    written at once and never changed, so that processes need not wait for each other, and a run that was stopped has kept what it decoded.
    Where the folder cannot be written nothing is kept; beyond `cache_size` bytes the files go that were not used for longest.

    Args:
        spec: The input that the pictures are fitted to.
        digests: Gets the SHA-256 of each file that is read.
    """

    def __init__(self, spec: ImageSpec, digests: MutableMapping[PictureFile, bytes] | None = None) -> None:
        self.spec, self.shape = spec, spec.array_shape
        self.digests = {} if digests is None else digests
        self.folder = data_directory() / "pictures" / _key(spec)
        self.known: dict[bytes, np.ndarray] = {}  # (H, W, C) uint8
        self.fresh: dict[bytes, np.ndarray] = {}
        self.lock = threading.Lock()
        self.open = True  # for new ones
        for path in sorted(self.folder.glob("*.rows")):
            with contextlib.suppress(OSError, ValueError):  # one that another process removes
                self.known |= self._read(path)

    def picture(self, file: PictureFile) -> np.ndarray:
        """The picture (H, W, C) uint8 of a file, decoded where it is not kept.

        Raises:
            DataError: as `decode_image`.
        """
        data = picture_bytes(file)
        self.digests[file] = digest = hashlib.sha256(data).digest()
        if (pixels := self.known.get(digest)) is None:
            pixels = decode_image(data, self.spec, name=str(file))
            self._add(digest, pixels)
        return pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.fresh:
            self._write(self.fresh)

    def _add(self, digest: bytes, pixels: np.ndarray) -> None:
        """Keep the picture of a file with this SHA-256."""
        with self.lock:
            if not self.open:
                return
            self.fresh[digest] = pixels
            if len(self.fresh) * pixels.nbytes < PART:
                return
            full, self.fresh = self.fresh, {}
        self._write(full)

    def _read(self, path: Path) -> dict[bytes, np.ndarray]:
        """The pictures of a file, which are mapped, by their digests; none of a file that was cut short."""
        data = np.memmap(path, np.uint8, "r")
        count = len(data) // (DIGEST + int(np.prod(self.shape)))
        digests, pixels = data[: count * DIGEST].tobytes(), data[count * DIGEST :].reshape(count, *self.shape)
        if path.name != _name(digests):
            return {}
        os.utime(path)
        return {digests[DIGEST * place : DIGEST * (place + 1)]: pixels[place] for place in range(count)}

    def _write(self, pictures: dict[bytes, np.ndarray]) -> None:
        """Write a file, if there is room for it."""
        data = b"".join(itertools.chain(pictures, (pixels.tobytes() for pixels in pictures.values())))
        path = self.folder / _name(b"".join(pictures))
        try:
            make_folder(self.folder)
            if _has_room(self.folder.parent, len(data)):
                write_atomically(path, data)
                return
        except (EnvironmentFault, OSError):
            pass
        with self.lock:
            self.open = False


def _name(digests: bytes) -> str:
    """The name of a file of the pictures with these digests: a file that lost some has another."""
    return f"{hashlib.sha256(digests).hexdigest()[:32]}.rows"


def cache_size() -> int:
    """The bytes that kept pictures may take: those of $STRIATE_CACHE_SIZE, in GiB.

    Raises:
        UsageError: it is no such number.
    """
    text = os.environ.get(CACHE_SIZE, "").strip()
    try:
        size = float(text or USUAL_SIZE)
        if not 0 <= size < 2**20:
            raise ValueError
    except ValueError:
        raise UsageError(f"{CACHE_SIZE} must be a number of GiB, got {text!r}", "For example 10; 0 keeps nothing.") from None
    return int(size * 2**30)


def worth_keeping(spec: ImageSpec, count: int) -> bool:
    """Return whether `count` pictures of this input are looked for among the kept ones, and kept."""
    return count * int(np.prod(spec.array_shape)) >= WORTH_KEEPING and cache_size() > 0


def _has_room(folder: Path, size: int) -> bool:
    """Return whether `size` bytes more may be kept in `folder`, where files make room that were not used for longest."""
    most = min(cache_size(), int(SHARE_OF_DISK * shutil.disk_usage(folder).free))
    files = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in folder.glob("*/*.rows"))
    taken = sum(length for _, length, _ in files)
    for _, length, file in files:
        if taken + size <= most:
            break
        file.unlink(missing_ok=True)
        taken -= length
    return taken + size <= most


def _key(spec: ImageSpec) -> str:
    """A name for everything that decides the pixels but the file."""
    versions = (DECODER, PIL.__version__, features.version("jpg"), features.version("webp"), features.version("avif"))
    words = f"{spec.channels}x{spec.height}x{spec.width}-{spec.fit}"
    return f"{words}-{hashlib.sha256(repr(versions).encode()).hexdigest()[:8]}"
