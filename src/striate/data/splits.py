"""Stratified, seeded splits: what a training learns from, what it holds out, and folds."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.images import ImageSpec
from striate.data.records import ImageSet

Images = TypeVar("Images", bound=ImageSet)
Images_co = TypeVar("Images_co", bound=ImageSet, covariant=True)


class Source(Protocol[Images_co]):
    """An opened data set, of labels or of masks."""

    @property
    def splits(self) -> tuple[str, ...]: ...

    def read(self, split: str, *, spec: ImageSpec | None = None) -> Images_co: ...


@dataclass(frozen=True, kw_only=True)
class Division:
    """Which pictures a training learns from and which it validates on, as a function of their names: a run keeps these three numbers."""

    val_fraction: float = 0.1  # of train, held out where there is no val split
    seed: int = 0
    train_images: int | None = None  # of those left to train on; None: all

    def train_and_val(self, source: Source[Images], spec: ImageSpec) -> tuple[Images, Images]:
        """The pictures to train on and to validate on.

        Raises:
            UsageError, DataError: as `split_train_val` and `few_of` say.
        """
        if "val" in source.splits:
            return self._few(source.read("train", spec=spec)), source.read("val", spec=spec)
        train, val = self._held_out(source, spec)
        return self._few(train), val

    def part(self, source: Source[Images], split: str, spec: ImageSpec) -> Images:
        """One split, train or val as the training divided them; errors as of `train_and_val`, and of that split alone."""
        if "val" in source.splits or split not in ("train", "val"):
            images = source.read(split, spec=spec)
        else:
            train, val = self._held_out(source, spec)
            images = train if split == "train" else val
        return self._few(images) if split == "train" else images

    def _held_out(self, source: Source[Images], spec: ImageSpec) -> tuple[Images, Images]:
        return split_train_val(source.read("train", spec=spec), fraction=self.val_fraction, seed=self.seed)

    def _few(self, images: Images) -> Images:
        return images if self.train_images is None else few_of(images, self.train_images, seed=self.seed)

    def decides(self, source: Source[ImageSet], split: str) -> bool:
        """Whether a split is not as the data has it."""
        return split in ("train", "val") and ("val" not in source.splits or (split == "train" and self.train_images is not None))

    def __str__(self) -> str:
        few = f", {self.train_images:,} trained on" if self.train_images is not None else ""
        return f"{self.val_fraction:g} held out, seed {self.seed}{few}"


def split_train_val(images: Images, *, fraction: float = 0.1, seed: int = 0) -> tuple[Images, Images]:
    """Hold out `fraction` of each class for validation, at least one picture of each; of pictures with masks, `fraction` of all.

    The choice is a function of (seed, the pictures' names below the folder that they share): neither the order of the files nor the
    place of the folder changes it.

    Raises:
        UsageError: `fraction` is not between 0 and 1.
        DataError: a class has fewer than two pictures, and names it; or there are fewer than two at all.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"the share held out for validation must lie between 0 and 1, got {fraction}")
    labels, classes = _strata(images)
    if images.labels.ndim > 1 and len(images) < 2:
        raise DataError(f"{images.name} has 1 training picture; at least 2 are needed to hold one out", "Add pictures, or a val split.")
    held_out = held_out_places(labels, names_below(images.paths), classes, fraction=fraction, seed=seed)
    train, val = images.take(np.flatnonzero(~held_out)), images.take(np.flatnonzero(held_out))
    return train, dataclasses.replace(val, split="val")


def few_of(images: Images, count: int, *, seed: int = 0) -> Images:
    """`count` of the pictures, the same share of each class up to one picture; fewer are always among those of a greater `count`.

    Raises:
        UsageError: fewer than one of each class, or more than there are.
    """
    labels, classes = _strata(images)
    if not len(classes) <= count <= len(images):
        least = f"{len(classes):,} (one of each class)" if images.labels.ndim == 1 else "1"
        raise UsageError(f"train_images must be {least} to {len(images):,} of {images.name}, got {count:,}")
    names, order = names_below(images.paths), np.zeros(len(images))
    for index in range(len(classes)):
        places = np.flatnonzero(labels == index)
        ranked = sorted(places.tolist(), key=lambda place: _hash(seed, names[place]))
        order[ranked] = (np.arange(len(ranked)) + 0.5) / len(ranked)  # of each class, evenly from 0 to 1
        order[ranked[:1]] = 0
    return images.take(np.sort(np.argsort(order, kind="stable")[:count]))


def _strata(images: ImageSet) -> tuple[np.ndarray, Sequence[str]]:
    """Each picture's class, and the classes' names; one for all where pictures have masks."""
    return (images.labels, images.classes) if images.labels.ndim == 1 else (np.zeros(len(images), np.int64), ("picture",))


def names_below(paths: Sequence[str]) -> list[str]:
    """The paths seen from the folder that all of them share, with forward slashes."""
    paths = [os.path.normpath(path) for path in paths]
    folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120  # far fewer than paths; a Path for each would take longer
    try:
        shared = os.path.commonpath(folders if len(set(paths)) > 1 else paths)
    except ValueError:  # relative and absolute ones, or several drives
        shared = ""
    return [path.removeprefix(shared).replace(os.sep, "/").lstrip("/") for path in paths]


def held_out_places(labels: np.ndarray, paths: Sequence[str], classes: Sequence[str], *, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: for each class, the `fraction` of pictures whose names have the smallest hash with the seed."""
    held_out = np.zeros(len(labels), bool)
    for index, name in enumerate(classes):
        places = np.flatnonzero(labels == index)
        if len(places) < 2:
            pictures = "1 training picture" if len(places) == 1 else "no training pictures"
            raise DataError(f"class {name!r} has {pictures}; at least 2 are needed to hold one out", "Add pictures of it.")
        count = min(max(1, round(len(places) * fraction)), len(places) - 1)
        ranked = sorted(places.tolist(), key=lambda place: _hash(seed, paths[place]))
        held_out[ranked[:count]] = True
    return held_out


def fold_places(labels: np.ndarray, paths: Sequence[str], classes: Sequence[str], *, count: int, seed: int) -> np.ndarray:
    """(N,) int: the fold of each picture, 0 to `count` - 1. Of each class, and of all, two folds differ by at most one picture.

    Like the split, a function of (seed, the pictures' names): neither their order nor the place of their folder changes it.

    Raises:
        UsageError: fewer than two folds.
        DataError: a class has fewer pictures than there are folds; names it.
    """
    if count < 2:
        raise UsageError(f"cross-validation needs at least 2 folds, got {count}")
    folds, dealt = np.zeros(len(labels), np.int64), 0
    for index, name in enumerate(classes):
        places = np.flatnonzero(labels == index)
        if len(places) < count:
            raise DataError(f"class {name!r} has {len(places)} training pictures for {count} folds", "Add pictures, or take fewer folds.")
        ranked = sorted(places.tolist(), key=lambda place: _hash(seed, paths[place]))
        folds[ranked] = np.arange(dealt, dealt + len(ranked)) % count
        dealt += len(ranked)
    return folds


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\n{name}".encode(errors="surrogateescape"), digest_size=8).digest()
