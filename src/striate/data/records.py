"""The public records of this package: an opened data set, and a decoded split of it."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from striate.core.errors import DataError
from striate.core.images import KINDS, InputSpec, Kind
from striate.core.targets import Task
from striate.data.identities import Identities, picture_digests
from striate.data.omissions import Omission, some
from striate.data.packing import take_rows
from striate.data.pieces import PictureFile

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Facts:
    """The facts that the data tells of each picture beside its label.

    Attributes:
        columns: The cells (N,) of a table, by the names of its columns.
        groups: (N,) text: pictures of one group stay in one split; None: each picture is its own.
        weights: (N,) float64, not negative, the weights of the pictures in the loss; None: all weigh alike.
        second: (N,) int64, the labels of a second task to train on; None: there is none, or it follows from the first.
    """

    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None
    second: np.ndarray | None = None

    def take(self, places: np.ndarray) -> Facts:
        """Those of the pictures at some places."""
        columns = {name: cells[places] for name, cells in self.columns.items()}
        return Facts(columns, *(None if each is None else each[places] for each in (self.groups, self.weights, self.second)))

    def with_second(self, column: str, kinds: Sequence[str], paths: Sequence[str]) -> Facts:
        """The same with the cells of a column, each one of `kinds`, as second labels; `paths` are what errors call the pictures.

        Raises:
            DataError: a cell is empty, or of another kind; names the picture.
        """
        numbers = {kind: number for number, kind in enumerate(kinds)}
        cells = [str(cell) for cell in self.columns[column].tolist()]
        for path, cell in zip(paths, cells, strict=True):
            if cell not in numbers:
                what = f"{cell!r}, which no training picture has" if cell.strip() else "nothing"
                raise DataError(f"{path}: has {what} in the column {column!r}", "Fill it in, or leave the picture out of the table.")
        return dataclasses.replace(self, second=np.array([numbers[cell] for cell in cells], np.int64))

    def joined(self, other: Facts) -> Facts:
        """These, and then those of `other`; what only one has is left out."""
        columns = {name: np.concatenate([cells, other.columns[name]]) for name, cells in self.columns.items() if name in other.columns}
        pairs = ((self.groups, other.groups), (self.weights, other.weights), (self.second, other.second))
        return Facts(columns, *(None if one is None or two is None else np.concatenate([one, two]) for one, two in pairs))


NO_FACTS = Facts()


@dataclass(frozen=True)
class ImageSet:
    """One split, decoded.

    Attributes:
        name: The data set's name.
        split: train, val or test.
        images: (N, H, W, C) uint8, or samples of another kind (N, ..., C) float32; may be a memory map, and is not to be written to.
        labels: (N,) int64, indices into `classes`; or (N, K) float64, numbers or sets of labels of the K `classes`.
        classes: The class names, in the order of the training split.
        paths: One name per picture: its file, or such as `mnist/test/00017`.
        facts: What else the data tells of each.
    """

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    facts: Facts = field(default=NO_FACTS, kw_only=True)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def kind(self) -> Kind:
        """The kind of the samples."""
        return KINDS[self.images.ndim - 2]

    @property
    def label_noun(self) -> str:
        """The name of `labels`, in the plural."""
        return "labels"

    def take(self, indices: np.ndarray | Sequence[int]) -> Self:
        """The pictures at `indices` (n,) whole numbers, in that order."""
        places = np.asarray(indices, np.int64)
        paths = tuple(self.paths[place] for place in places)
        images, labels, facts = take_rows(self.images, places), self.labels[places], self.facts.take(places)
        return dataclasses.replace(self, images=images, labels=labels, paths=paths, facts=facts)

    def class_counts(self) -> np.ndarray | None:
        """(K,) int64, the number of pictures of each class; None if a picture has no single class."""
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu":
            return None
        return np.bincount(self.labels, minlength=len(self.classes))

    def joined(self, other: Self) -> Self:
        """These pictures, and then those of `other`, of the same size and classes."""
        images, labels = (np.concatenate([getattr(one, name) for one in (self, other)]) for name in ("images", "labels"))
        facts = self.facts.joined(other.facts)
        return dataclasses.replace(self, images=images, labels=labels, paths=self.paths + other.paths, facts=facts)


class Images(Protocol):
    """Decodes pictures to a spec (None: as they are): all of them, or those at some places; other samples are as they are."""

    def __call__(self, spec: Any, places: np.ndarray | None = None, /) -> np.ndarray:
        """-> (n, H, W, C) uint8, or (n, ..., C) float32."""


class Part(NamedTuple):
    """One split before decoding: its labels and names, and functions that decode it and take the digests of its contents.

    `names` are those below the data's folder; None: by number.
    """

    labels: np.ndarray  # (N,) int64, or (N, K) float64
    paths: tuple[str, ...]
    images: Images
    names: tuple[str, ...] | None = None
    digests: Callable[[], tuple[bytes, ...]] | None = None  # None: of the pixels as they are
    files: Sequence[PictureFile] | None = None  # of the pictures, where each is one, or a piece of one
    facts: Facts = NO_FACTS

    def all_names(self, split: str) -> tuple[str, ...]:
        """The names below the data's folder; the numbers in the split where there is none."""
        return self.names if self.names is not None else tuple(f"{split}/{place:05d}" for place in range(len(self.labels)))

    def all_digests(self) -> tuple[bytes, ...]:
        """The digests of the contents; reads them."""
        return self.digests() if self.digests is not None else picture_digests(self.images(None))

    def take(self, places: np.ndarray, split: str) -> Part:
        """The part at `places` (n,) of this one, with the names that the pictures have now."""
        names = self.all_names(split)

        def images(spec: Any, some: np.ndarray | None = None) -> np.ndarray:
            return self.images(spec, places if some is None else places[some])

        def digests() -> tuple[bytes, ...]:
            every = self.all_digests()
            return tuple(every[place] for place in places)

        paths, kept = (tuple(each[place] for place in places) for each in (self.paths, names))
        files = None if self.files is None else [self.files[place] for place in places]
        labels, facts = self.labels[places], self.facts.take(places)
        return self._replace(labels=labels, paths=paths, images=images, names=kept, digests=digests, files=files, facts=facts)


@dataclass(frozen=True)
class DataSource:
    """An opened data set; nothing is decoded before `read`.

    Attributes:
        name: A short name for run folders.
        classes: The class names of the training split.
        channels: 1 if all pictures are grey, else 3 (or what the arrays have).
        image_size: (H, W) where all pictures have one size, else None.
        parts: The splits that there are.
        notes: Notes on the reading for the user.
        task: The task of the labels; of numbers and of sets of labels, `classes` are the names of the columns.
        left_out: The files found but not read, by the reason.
        kind: The kind of the samples.
        extent: Of samples that are no pictures, their axes beside the channels: (L,), (D, H, W) or ().
        columns: The names of a table's columns, where it has some.
        target: The column of a table that is learned.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    image_size: tuple[int, int] | None
    parts: Mapping[str, Callable[[], Part]] = field(repr=False)
    notes: tuple[str, ...] = ()
    task: Task = "classify"
    left_out: tuple[Omission, ...] = ()
    kind: Kind = "pictures"
    extent: tuple[int, ...] | None = None
    columns: tuple[str, ...] = ()
    target: str | None = None

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The available splits, of train, val and test."""
        return tuple(split for split in SPLITS if split in self.parts)

    @property
    def has_classes(self) -> bool:
        """True if each picture has one class."""
        return self.task == "classify"

    def num_images(self, split: str) -> int:
        """The number of pictures of a split."""
        return len(self._part(split).labels)

    def class_counts(self, split: str) -> dict[str, int]:
        """The number of pictures of each class in a split."""
        counts = Counter(self._part(split).labels.tolist())
        return {name: counts.get(index, 0) for index, name in enumerate(self.classes)}

    def strata(self, split: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """The strata of a split: each picture's class (N,), and the names; one stratum if pictures have no single class."""
        labels = self._part(split).labels
        return (labels, self.classes) if labels.ndim == 1 else (np.zeros(len(labels), np.int64), ("picture",))

    def paths(self, split: str) -> tuple[str, ...]:
        """One name per picture of a split, as `read` has them."""
        return self._part(split).paths

    def facts(self, split: str) -> Facts:
        """The facts that the data tells of each picture of a split beside its label."""
        return self._part(split).facts

    def at_places(self, places: Mapping[str, Callable[[], np.ndarray]]) -> Self:
        """The data with only those pictures of each split that stand at its `places` (n,)."""
        return dataclasses.replace(self, parts={split: partial(self._at, split, chosen) for split, chosen in places.items()})

    def _at(self, split: str, chosen: Callable[[], np.ndarray]) -> Part:
        return self._part(split).take(chosen(), split)

    def identities(self, split: str) -> Identities:
        """The names and digests of the pictures of a split; reads the files."""
        part = self._part(split)
        return Identities(part.all_names(split), part.all_digests())

    def read(self, split: str, *, spec: InputSpec | None = None, places: np.ndarray | None = None) -> ImageSet:
        """Decode a split, or its pictures at `places`, to `spec`'s size, fit and channels; without a spec, as the pictures are.

        Raises:
            DataError: there is no such split, a picture cannot be read, or without a spec the sizes differ.
        """
        part = self._part(split)
        if places is None:
            return ImageSet(self.name, split, part.images(spec), part.labels, self.classes, part.paths, facts=part.facts)
        paths, facts = tuple(part.paths[place] for place in places.tolist()), part.facts.take(places)
        return ImageSet(self.name, split, part.images(spec, places), part.labels[places], self.classes, paths, facts=facts)

    def _part(self, split: str) -> Part:
        if split not in self.parts:
            raise self.without(split)
        return self.parts[split]()

    def without(self, split: str) -> DataError:
        """The error for a split that the data does not have."""
        remedy = "Choose another split."
        return DataError(f"{self.name} has no {split} split; it has {', '.join(self.splits)}", remedy)

    def with_classes(self, classes: tuple[str, ...]) -> DataSource:
        """The data with its pictures labelled by `classes`, by name: also if it has gained classes since. Pictures of other classes get -1.

        Raises:
            DataError: its targets or its masks have other names.
        """
        if self.classes == classes:
            return self
        if not self.has_classes:  # its targets may have the same names, and be more or fewer
            theirs, ours = (f"{len(names)} ({', '.join(names[:20])})" for names in (self.classes, classes))
            raise DataError(f"{self.name}: has the targets {theirs}, but the model gives {ours}", "Give data with the same columns.")
        places = np.array([classes.index(name) if name in classes else -1 for name in self.classes], np.int64)

        def part(split: str) -> Part:
            own = self.parts[split]()
            return own._replace(labels=places[own.labels])

        return dataclasses.replace(self, classes=classes, parts={split: partial(part, split) for split in self.parts})


def checked_classes(name: str, classes: Sequence[str], remedy: str) -> tuple[str, ...]:
    """The classes, if a classifier can be trained on them.

    Raises:
        DataError: fewer than two.
    """
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        raise DataError(f"{name}: a classifier needs at least two classes, got {found}", remedy)
    return tuple(classes)


def alike_in_words(name: str, classes: Sequence[str]) -> list[str]:
    """The note on classes whose names differ only in case, spaces or Unicode spelling."""
    alike: dict[str, list[str]] = {}
    for one in classes:
        alike.setdefault("".join(unicodedata.normalize("NFKC", one).casefold().split()), []).append(one)
    groups = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    return [f"{name}: class names that are nearly the same, each read as a separate class: {some(groups)}"] if groups else []


def num_batches(count: int, size: int) -> int:
    """The number of batches of `size` in an epoch of `count` pictures; a single picture left over makes no batch."""
    full, rest = divmod(count, size)
    return full + (rest > 1 or (rest == 1 and full == 0))
