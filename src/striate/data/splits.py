"""Stratified, seeded splits."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.data.records import ImageSet

Images = TypeVar("Images", bound=ImageSet)


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
    labels, classes = images.labels, images.classes
    if labels.ndim > 1:  # not one class a picture
        if len(images) < 2:
            raise DataError(f"{images.name} has 1 training picture; at least 2 are needed to hold one out", "Add pictures, or a val split.")
        labels, classes = np.zeros(len(images), np.int64), ("picture",)
    held_out = held_out_places(labels, names_below(images.paths), classes, fraction=fraction, seed=seed)
    train, val = images.take(np.flatnonzero(~held_out)), images.take(np.flatnonzero(held_out))
    return train, dataclasses.replace(val, split="val")


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
