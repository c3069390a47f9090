"""One pass over the pictures of a data set: each is read and decoded to its end once, measured, and perhaps shown to a network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from striate.core.errors import DataError
from striate.data.decode import fit_image, picture_bytes, whole_picture
from striate.data.fitting import with_channels
from striate.data.identities import DIGEST_BYTES, picture_digests
from striate.data.pieces import PictureFile
from striate.data.records import DataSource, Part
from striate.insight.check.embedding import SIDES, Embedding
from striate.insight.check.looks import Look, look_at, look_at_image

PREFIX = "cannot be read as a picture: "
CHUNK = 128  # pictures that are in memory at a time


class Picture(NamedTuple):
    """A picture of a data set, and its measures."""

    split: str
    place: int  # in its split
    path: str  # its file, or such as mnist/test/00017
    name: str  # below the data's folder
    label: int | None  # None: it has no single class
    digest: bytes  # of its content; empty if the file cannot be read
    said: str = ""  # its label in words: a class, several, numbers, or which mask
    group: str = ""  # of pictures that belong together; empty: none
    error: str = ""  # why it cannot be decoded; then it has no measures
    format: str = ""
    mode: str = ""
    frames: bool = False
    num_bytes: int | None = None  # of its file
    height: int = 0
    width: int = 0
    pixels: bytes | None = None  # a digest of them
    look: Look | None = None

    @property
    def measures(self) -> Look:
        """Those of a picture that could be read."""
        if self.look is None:
            raise RuntimeError(f"{self.path}: has no measures")
        return self.look


class Survey(NamedTuple):
    """The pictures of a data set in the order of its splits, and the features of those that could be read."""

    pictures: list[Picture]
    features: np.ndarray | None  # (number of readable pictures, F)

    @property
    def readable(self) -> list[Picture]:
        """The pictures that could be decoded."""
        return [picture for picture in self.pictures if not picture.error]


def survey(source: DataSource, embedding: Embedding | None, done: Callable[[int, int], None]) -> Survey:
    """Read, measure and, with an `embedding`, show the pictures to its network; `done` is told of pictures and of all."""
    total = sum(source.num_images(split) for split in source.splits)
    pictures: list[Picture] = []
    features: list[np.ndarray] = []
    with ThreadPoolExecutor() as pool:
        for split in source.splits:
            part = source.parts[split]()
            for places in _chunks(len(part.labels)):
                chosen = _listed(source, part, split, places)
                looked = _of_files(part, chosen, embedding, pool) if part.files else _of_arrays(part, chosen, embedding)
                pictures += [picture for picture, _ in looked]
                inputs = [fitted for _, fitted in looked if fitted is not None]
                if embedding is not None and inputs:
                    features.append(embedding(np.stack(inputs)))
                done(len(pictures), total)
    return Survey(pictures, np.concatenate(features) if features else None)


Looked = tuple[Picture, np.ndarray | None]


def _chunks(count: int) -> Iterator[np.ndarray]:
    return (np.arange(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


def _listed(source: DataSource, part: Part, split: str, places: np.ndarray) -> list[Picture]:
    """Pictures that were not looked at yet, with what the data tells of them."""
    names, groups = part.all_names(split), part.facts.groups
    found = []
    for place in places.tolist():
        label = int(part.labels[place]) if source.has_classes else None
        group = "" if groups is None else str(groups[place])
        found.append(Picture(split, place, part.paths[place], names[place], label, b"", _in_words(source, part.labels[place]), group))
    return found


def _in_words(source: DataSource, label: np.ndarray) -> str:
    if source.task == "multilabel":
        return ", ".join(name for name, there in zip(source.classes, label, strict=True) if there) or "none"
    return source.classes[int(label)] if source.has_classes else ", ".join(f"{value:g}" for value in np.ravel(label))


def _of_files(part: Part, chosen: Sequence[Picture], embedding: Embedding | None, pool: ThreadPoolExecutor) -> list[Looked]:
    files = part.files or ()
    return list(pool.map(lambda picture: file_looked_at(picture, files[picture.place], embedding), chosen))


def file_looked_at(picture: Picture, file: PictureFile, embedding: Embedding | None) -> Looked:
    """`picture` with the measures of its file, and the input of the network."""
    digest = b""
    try:
        data = picture_bytes(file)
        digest = hashlib.sha256(data).digest()[:DIGEST_BYTES]
        whole = whole_picture(data, SIDES[-1], str(file))
        content = hashlib.sha256(repr((whole.height, whole.width)).encode())
        content.update(whole.image.tobytes())
        found = picture._replace(
            digest=digest,
            format=whole.format,
            mode=whole.mode,
            frames=whole.frames,
            num_bytes=len(data),
            height=whole.height,
            width=whole.width,
            pixels=content.digest()[:DIGEST_BYTES],
            look=look_at_image(whole.image),
        )
        return found, None if embedding is None else fit_image(whole.pixels, embedding.spec)
    except DataError as error:
        return picture._replace(digest=digest, error=error.message.removeprefix(f"{file}: ").removeprefix(PREFIX)), None


def _of_arrays(part: Part, chosen: Sequence[Picture], embedding: Embedding | None) -> list[Looked]:
    images = part.images(None, np.array([picture.place for picture in chosen]))
    found: list[Looked] = []
    for picture, image, digest in zip(chosen, images, picture_digests(images), strict=True):
        height, width, channels = image.shape
        mode = {1: "L", 3: "RGB"}.get(channels, f"{channels} channels")
        seen = picture._replace(digest=digest, mode=mode, height=height, width=width, pixels=digest, look=look_at(image))
        colours = image if channels in (1, 3) else image[..., :1]
        found.append((seen, None if embedding is None else fit_image(with_channels(colours, 3), embedding.spec)))
    return found
