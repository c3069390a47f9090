"""Stratified, seeded splits: pictures to train on, held-out pictures, and folds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.images import InputSpec
from striate.data.grouping import grouped_folds, hash_of, held_out_groups
from striate.data.identities import Identities
from striate.data.records import Facts, ImageSet

Images = TypeVar("Images", bound=ImageSet)
Images_co = TypeVar("Images_co", bound=ImageSet, covariant=True)


class Source(Protocol[Images_co]):
    """An opened data set, of labels or of masks."""

    @property
    def name(self) -> str: ...

    @property
    def splits(self) -> tuple[str, ...]: ...

    def strata(self, split: str) -> tuple[np.ndarray, tuple[str, ...]]: ...

    def paths(self, split: str) -> tuple[str, ...]: ...

    def identities(self, split: str) -> Identities: ...

    def facts(self, split: str) -> Facts: ...

    def read(self, split: str, *, spec: InputSpec | None = None, places: np.ndarray | None = None) -> Images_co: ...


class Places(NamedTuple):
    """Indices into the train split of a data set: of the pictures that a training learns from, validates on, and does not use."""

    train: np.ndarray  # (n,) int64, increasing, as are the others
    val: np.ndarray | None  # None: the data has a val split of its own
    unused: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Division:
    """The division into pictures to train on and to validate on, as a function of their names."""

    val_fraction: float = 0.1  # of train, held out where there is no val split
    seed: int = 0
    train_images: int | None = None  # of those left to train on; None: all

    def divide(self, source: Source[ImageSet]) -> Places:
        """The indices of the pictures of train that are trained on, held out and not used.

        Raises:
            UsageError, DataError: as `held_out_places` and `few_places` say.
        """
        held_out = self._held_out(source)
        kept = np.flatnonzero(~held_out)
        train = self._few(source, kept)
        return Places(train, np.flatnonzero(held_out) if "val" not in source.splits else None, np.setdiff1d(kept, train))

    def part(self, source: Source[Images], split: str, spec: InputSpec) -> Images:
        """One split, train or val as this divides them; errors as of `divide`, and of that split alone."""
        if split not in ("train", "val") or (split == "val" and "val" in source.splits):
            return source.read(split, spec=spec)
        held_out = self._held_out(source)
        if split == "val":
            return dataclasses.replace(source.read("train", spec=spec, places=np.flatnonzero(held_out)), split="val")
        return source.read("train", spec=spec, places=self._few(source, np.flatnonzero(~held_out)))

    def _held_out(self, source: Source[ImageSet]) -> np.ndarray:
        """(N,) bool, of the pictures of train."""
        labels, classes = source.strata("train")
        if "val" in source.splits:
            return np.zeros(len(labels), bool)
        names, groups = names_below(source.paths("train")), source.facts("train").groups
        return held_out_places(labels, names, classes, fraction=self.val_fraction, seed=self.seed, groups=groups)

    def _few(self, source: Source[ImageSet], kept: np.ndarray) -> np.ndarray:
        """Those of the places `kept` that are trained on."""
        if self.train_images is None:
            return kept
        labels, classes = source.strata("train")
        paths = source.paths("train")
        names = names_below([paths[place] for place in kept.tolist()])
        few = few_places(labels[kept], names, classes, count=self.train_images, seed=self.seed, name=source.name)
        return np.asarray(kept[few])

    def decides(self, source: Source[ImageSet], split: str) -> bool:
        """Return whether a split is not as the data has it."""
        return split in ("train", "val") and ("val" not in source.splits or (split == "train" and self.train_images is not None))

    def __str__(self) -> str:
        few = f", {self.train_images:,} trained on" if self.train_images is not None else ""
        return f"{self.val_fraction:g} held out, seed {self.seed}{few}"


def split_train_val(images: Images, *, fraction: float = 0.1, seed: int = 0) -> tuple[Images, Images]:
    """Hold out `fraction` of each class for validation; errors as of `held_out_places`."""
    labels, classes = _strata(images)
    groups = images.facts.groups
    held_out = held_out_places(labels, names_below(images.paths), classes, fraction=fraction, seed=seed, groups=groups)
    train, val = images.take(np.flatnonzero(~held_out)), images.take(np.flatnonzero(held_out))
    return train, dataclasses.replace(val, split="val")


def few_of(images: Images, count: int, *, seed: int = 0) -> Images:
    """`count` of the pictures; which, and errors, as of `few_places`."""
    labels, classes = _strata(images)
    return images.take(few_places(labels, names_below(images.paths), classes, count=count, seed=seed, name=images.name))


def _strata(images: ImageSet) -> tuple[np.ndarray, Sequence[str]]:
    """Each picture's class, and the classes' names; one for all if pictures have masks."""
    return (images.labels, images.classes) if images.labels.ndim == 1 else (np.zeros(len(images), np.int64), ("picture",))


def few_places(labels: np.ndarray, names: Sequence[str], classes: Sequence[str], *, count: int, seed: int, name: str) -> np.ndarray:
    """The places (count,) of the same share of each class up to one picture; fewer are always among those of a greater `count`.

    Raises:
        UsageError: fewer than one of each class, or more than there are; calls them `name`.
    """
    kinds = [index for index in range(len(classes)) if (labels == index).any()]
    if not len(kinds) <= count <= len(labels):
        least = f"{len(kinds):,} (one of each class)" if len(classes) > 1 else "1"
        raise UsageError(f"train_images must be {least} to {len(labels):,} of {name}, got {count:,}")
    order = np.zeros(len(labels))
    for index in kinds:
        places = np.flatnonzero(labels == index)
        ranked = sorted(places.tolist(), key=lambda place: hash_of(seed, names[place]))
        order[ranked] = (np.arange(len(ranked)) + 0.5) / len(ranked)  # of each class, evenly from 0 to 1
        order[ranked[:1]] = 0
    return np.sort(np.argsort(order, kind="stable")[:count])


def names_below(paths: Sequence[str]) -> list[str]:
    """The paths seen from the folder that all of them share, with forward slashes."""
    paths = [os.path.normpath(path) for path in paths]
    folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120  # far fewer than paths; a Path for each would take longer
    try:
        shared = os.path.commonpath(folders if len(set(paths)) > 1 else paths)
    except ValueError:  # relative and absolute ones, or several drives
        shared = ""
    return [path.removeprefix(shared).replace(os.sep, "/").lstrip("/") for path in paths]


def held_out_places(
    labels: np.ndarray,
    paths: Sequence[str],
    classes: Sequence[str],
    *,
    fraction: float,
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """(N,) bool: for each class, the `fraction` of pictures whose names have the smallest hash with the seed; of a single picture, none.

    The choice is a function of (seed, the pictures' names below the folder that they share): neither the order of the files nor the
    place of the folder changes it. Of `groups` (N,) whole ones are held out, as near to that share of each class as they allow
    (`held_out_groups`).

    Raises:
        UsageError: `fraction` is not between 0 and 1.
        DataError: no class has two pictures, or there is one group.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"the share held out for validation must lie between 0 and 1, got {fraction}")
    if groups is not None:
        return held_out_groups(labels, groups, fraction=fraction, seed=seed)
    held_out = np.zeros(len(labels), bool)
    for index in range(len(classes)):
        places = np.flatnonzero(labels == index)
        if len(places) < 2:
            continue
        count = min(max(1, round(len(places) * fraction)), len(places) - 1)
        ranked = sorted(places.tolist(), key=lambda place: hash_of(seed, paths[place]))
        held_out[ranked[:count]] = True
    if not held_out.any():
        of_what = "each class" if len(labels) > 1 else "the data"
        message = f"{of_what} has 1 training picture; at least 2 are needed to hold one out"
        raise DataError(message, "Add pictures, or a val split.")
    return held_out


def fold_places(
    labels: np.ndarray, paths: Sequence[str], classes: Sequence[str], *, count: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """(N,) int: the fold of each picture, 0 to `count` - 1. Of each class, and of all, two folds differ by at most one picture.

    A class of one picture is in no fold, -1: it would be lacking where that is held out. Like the split, a function of (seed, the pictures'
    names): neither their order nor the place of their folder changes it. Pictures of one of `groups` (N,) share a fold (`grouped_folds`).

    Raises:
        UsageError: fewer than two folds.
        DataError: fewer pictures than folds, or fewer groups.
    """
    if count < 2:
        raise UsageError(f"cross-validation needs at least 2 folds, got {count}")
    if groups is not None:
        return grouped_folds(labels, groups, count=count, seed=seed)
    folds, dealt = np.full(len(labels), -1), 0
    for index in range(len(classes)):
        places = np.flatnonzero(labels == index)
        if len(places) < 2:
            continue
        ranked = sorted(places.tolist(), key=lambda place: hash_of(seed, paths[place]))
        folds[ranked] = np.arange(dealt, dealt + len(ranked)) % count
        dealt += len(ranked)
    if dealt < count:
        few = f"{dealt} training picture{'' if dealt == 1 else 's'} of classes with two or more"
        raise DataError(f"{few} for {count} folds", "Add pictures, or use fewer folds.")
    return folds
