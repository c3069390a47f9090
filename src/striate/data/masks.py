"""Pictures with a class for each pixel: `root/{images,masks}/*`, or `root/{train,val,test}/{images,masks}/*`.

A mask is a PNG file with the name of its picture, as large as it, with a palette or grey: each pixel holds the index of its class, or 255
where it has none. Masks of 0 and 255 alone are black and white: two classes. `root/classes.txt` names the classes, one per line; without it
they are called by their numbers.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.images import InputSpec, SignalSpec
from striate.core.targets import Task
from striate.data.augmentation.record import Augmentation
from striate.data.decode import PictureHeader, decode_image, decode_mask, picture_header
from striate.data.dropped import DropList
from striate.data.fitting import IGNORED, fit_mask, with_channels
from striate.data.folder import in_threads, known_header, whole_header
from striate.data.identities import Identities, file_digests
from striate.data.layout import Layout
from striate.data.mask_files import CLASSES, Pair, class_names, mask_files
from striate.data.mask_values import TWO_TONES, are_two_tones, from_two_tones, refuse_colours, remedy_for
from striate.data.omissions import unreadable
from striate.data.packing import put, room_for, take_rows
from striate.data.records import NO_FACTS, SPLITS, DataSource, Facts, ImageSet, checked_classes

MOVES = ("crop_padding", "pad_mode", "flip", "flip_mode")  # augmentations that move a picture and its mask alike


@dataclass(frozen=True)
class MaskedSet(ImageSet):
    """One split, decoded; `labels` are masks (N, H, W) uint8: class indices, 255 where a pixel has none.

    Attributes:
        packed: (N, H, W, C + 1) uint8: the channels of the picture, then 255 - class, so that padding with zeros pads the mask with 255.
            `images` is a view of it.
    """

    packed: np.ndarray = field(repr=False)

    @property
    def label_noun(self) -> str:
        """The name of `labels`, in the plural."""
        return "masks"

    @classmethod
    def unpacked(cls, name: str, split: str, packed: np.ndarray, classes: tuple[str, ...], paths: tuple[str, ...]) -> MaskedSet:
        """The set that `packed` holds."""
        return cls(name, split, packed[..., :-1], IGNORED - packed[..., -1], classes, paths, packed)

    def take(self, indices: np.ndarray | Sequence[int]) -> Self:
        """The pictures at `indices` (n,) whole numbers, in that order."""
        places = np.asarray(indices, np.int64)
        packed, paths = take_rows(self.packed, places), tuple(self.paths[place] for place in places)
        return dataclasses.replace(self, packed=packed, images=packed[..., :-1], labels=self.labels[places], paths=paths)

    def class_counts(self) -> np.ndarray:
        """(K,) int64, the number of pixels of each class."""
        return np.bincount(self.labels.ravel(), minlength=256)[: len(self.classes)]

    def joined(self, other: Self) -> Self:
        """These pictures, and then those of `other`, of the same size and classes."""
        packed, labels = (np.concatenate([getattr(one, name) for one in (self, other)]) for name in ("packed", "labels"))
        return dataclasses.replace(self, packed=packed, images=packed[..., :-1], labels=labels, paths=self.paths + other.paths)


@dataclass(frozen=True)
class MaskSource(DataSource):
    """An opened folder of pictures and masks; pictures are decoded by `read`.

    Attributes:
        pairs: The files of each split.
        root: The folder that their names are relative to.
    """

    task: Task = "segment"
    pairs: Mapping[str, Sequence[Pair]] = field(default_factory=dict, repr=False)
    two_tones: bool = False  # 0 and 255 are the two classes
    root: Path | None = None

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The available splits, of train, val and test."""
        return tuple(split for split in SPLITS if split in self.pairs)

    def num_images(self, split: str) -> int:
        """The number of pictures of a split."""
        return len(self.of(split))

    def class_counts(self, split: str) -> dict[str, int]:
        """The number of pixels of each class in a split; reads its masks."""
        masks = self._masks(self.of(split))
        counts = sum((np.bincount(mask[mask != IGNORED], minlength=len(self.classes)) for mask in masks), np.zeros(1, np.int64))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def _masks(self, pairs: Sequence[Pair]) -> Iterator[np.ndarray]:
        return (self._mask(pair.mask) for pair in pairs)

    def _mask(self, path: Path) -> np.ndarray:
        return two_tone_mask(path) if self.two_tones else checked_mask(path, len(self.classes))

    def with_classes(self, classes: tuple[str, ...]) -> DataSource:
        """The data with the names of `classes`; numbered classes may be the first of them.

        Raises:
            DataError: its masks have other names.
        """
        if self.classes != classes and not (all(name.isdecimal() for name in self.classes) and len(self.classes) <= len(classes)):
            theirs, ours = (", ".join(names[:20]) for names in (self.classes, classes))
            raise DataError(f"{self.name}: has the classes {theirs}, but the model knows {ours}", "Give the same classes.txt.")
        return dataclasses.replace(self, classes=classes)

    def of(self, split: str) -> Sequence[Pair]:
        """The files of a split.

        Raises:
            DataError: there is no such split.
        """
        if split not in self.pairs:
            raise self.without(split)
        return self.pairs[split]

    def strata(self, split: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """All pictures are of one kind for a division: none has a single class."""
        return np.zeros(len(self.of(split)), np.int64), ("picture",)

    def paths(self, split: str) -> tuple[str, ...]:
        """The picture files of a split."""
        return tuple(str(pair.picture) for pair in self.of(split))

    def identities(self, split: str) -> Identities:
        """The names and digests of the pictures of a split, their masks left out; reads the files."""
        files = [pair.picture for pair in self.of(split)]
        root = self.root if self.root is not None else Path()
        return Identities(tuple(path.relative_to(root).as_posix() for path in files), file_digests(files))

    def facts(self, split: str) -> Facts:
        """Nothing: a folder of masks has no table."""
        return NO_FACTS

    def read(self, split: str, *, spec: InputSpec | None = None, places: np.ndarray | None = None) -> MaskedSet:
        """Decode a split, or its pictures at `places`, with masks, brought to `spec`; without a spec, as the pictures are.

        Raises:
            DataError: there is no such split, a file cannot be read, a mask holds an index without a class, or without a spec the sizes
                differ; names it.
        """
        if isinstance(spec, SignalSpec):
            raise DataError(f"{self.name}: has pictures, and the network takes {spec.kind}", "Choose a network that takes pictures.")
        pairs = self.of(split) if places is None else [self.of(split)[place] for place in places.tolist()]
        shape = (spec.height, spec.width) if spec is not None else self.image_size
        if shape is None:
            raise DataError(f"{self.name}: the pictures have different sizes", "Give an `image_size`.")
        packed = room_for((len(pairs), *shape, (spec.channels if spec is not None else self.channels) + 1))
        rows = {pair.picture: place for place, pair in enumerate(pairs)}
        masks = dict(pairs)

        def pack(picture: Path) -> None:
            pixels, mask = decode_image(picture, spec), self._mask(masks[picture])
            if spec is None:
                pixels = with_channels(pixels, self.channels)
            else:
                mask = fit_mask(mask, spec)
            put(packed[..., :-1], rows[picture], pixels, picture)
            put(packed[..., -1], rows[picture], IGNORED - mask, masks[picture])

        _, bad = in_threads(pack, list(rows))
        if bad:
            raise next(iter(bad.values()))
        return MaskedSet.unpacked(self.name, split, packed, self.classes, tuple(str(pair.picture) for pair in pairs))


def open_masks(
    root: Path, *, skip_unreadable: bool = False, layout: Layout = "auto", to_train: bool = True, drop: DropList | None = None
) -> MaskSource:
    """The pictures and masks of a folder, but for those of which `drop` lists a file.

    The files are only looked into here, but for the training masks, where no classes.txt tells how many classes there are or it names
    two, and for all pictures with `skip_unreadable`, which leaves out those that cannot be decoded, and says so. Without `to_train` the
    pictures are for a model that has its own classes: there may be any splits, and a single class. Those of `drop` are not looked into.

    Raises:
        DataError: no pictures, a picture without a mask, a mask of another size or with colours, an empty or repeated class name, folders
            that may be splits, or a file that cannot be read; names it.
    """
    pairs, ledger, notes = mask_files(root, layout=layout, to_train=to_train, drop=drop)
    first = next(iter(pairs))
    pictures = [pair.picture for found in pairs.values() for pair in found]
    headers, bad = in_threads(whole_header if skip_unreadable else known_header, pictures)
    every = {**ledger.unreadable, **bad}
    ledger.refuse_or_skip(bad, skip=skip_unreadable)
    pairs = {split: [pair for pair in found if pair.picture in headers] for split, found in pairs.items()}
    if not pairs[first]:
        raise unreadable(every, "; no pictures are left")
    _check_masks(pairs, headers)

    classes = class_names(root)
    told = pairs["train"] if to_train else list(itertools.chain(*pairs.values()))
    two_tones = len(classes) in (0, 2) and are_two_tones(decode_mask(pair.mask) for pair in told)
    if two_tones:
        classes = classes or TWO_TONES
        notes.append(f"masks of 0 and 255 alone: black is read as class {classes[0]!r}, white as class {classes[1]!r}")
    named, classes = bool(classes), classes or _numbers(told)
    if to_train:
        remedy = "Write one class name per line, the background's too; without a classes.txt, draw masks with at least the indices 0 and 1."
        classes = checked_classes(str(root / CLASSES if named else told[0].mask.parent), classes, remedy)
    sizes = {(header.height, header.width) for header in headers.values()}
    channels = max(header.channels for header in headers.values())
    size = sizes.pop() if len(sizes) == 1 else None
    left_out = ledger.omissions()
    notes += [omission.words for omission in left_out]
    return MaskSource(
        root.resolve().name,
        classes,
        channels,
        size,
        parts={},
        notes=tuple(notes),
        pairs=pairs,
        root=root,
        left_out=left_out,
        two_tones=two_tones,
    )


def _check_masks(pairs: Mapping[str, Sequence[Pair]], headers: Mapping[Path, PictureHeader]) -> None:
    """Each mask is as large as its picture."""
    found = {pair.mask: pair.picture for pairs_of_split in pairs.values() for pair in pairs_of_split}
    masks, bad = in_threads(picture_header, list(found))
    if bad:
        raise next(iter(bad.values()))
    for mask, header in masks.items():
        picture = headers[found[mask]]
        if (header.height, header.width) != (picture.height, picture.width):
            message = f"{mask}: has {header.height} x {header.width} pixels, but its picture {found[mask].name} has"
            raise DataError(f"{message} {picture.height} x {picture.width}", "Draw the mask in the picture's own size.")


def _numbers(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Numbers as names, up to the largest class index of the masks."""
    found, bad = in_threads(_values, [pair.mask for pair in pairs])
    if bad:
        raise next(iter(bad.values()))
    values = np.unique(np.concatenate(list(found.values())))
    refuse_colours(values, str(pairs[0].mask.parent))
    return tuple(str(index) for index in range(int(max(values[values != IGNORED], default=-1)) + 1))


def _values(path: Path) -> np.ndarray:
    """The different numbers of a mask."""
    return np.unique(decode_mask(path))


def two_tone_mask(path: Path) -> np.ndarray:
    """The mask (H, W) uint8 of a file that is black, class 0, and white, class 1.

    Raises:
        DataError: it cannot be read, or holds another value; names it.
    """
    try:
        return from_two_tones(decode_mask(path))
    except DataError as error:
        raise DataError(f"{path}: {error.message.removeprefix(f'{path}: ')}", error.remedy) from None


def checked_mask(path: Path, num_classes: int) -> np.ndarray:
    """The mask (H, W) uint8 of a file, each pixel the index of one of `num_classes` classes, or 255.

    Raises:
        DataError: it cannot be read, has colours, or holds another number; names the file and the pixel.
    """
    mask = decode_mask(path)
    wrong = np.argwhere((mask >= num_classes) & (mask != IGNORED))
    if len(wrong):
        row, column = wrong[0]
        message = f"{path}: {len(wrong):,} pixels hold an index without a class, such as {mask[row, column]} at row {row}, column {column}"
        raise DataError(f"{message}; the data has {num_classes} classes", remedy_for(np.unique(mask), num_classes))
    return mask


def only_moves(augmentation: Augmentation, what: str) -> None:
    """Refuse an augmentation that changes more than the places of `what`.

    Raises:
        UsageError: names what it changes.
    """
    moves = dataclasses.replace(Augmentation(), **{name: getattr(augmentation, name) for name in MOVES})
    if augmentation != moves:
        others = [f.name for f in dataclasses.fields(Augmentation) if getattr(augmentation, f.name) != getattr(moves, f.name)]
        raise UsageError(f"augmentation of {what}: {', '.join(others)} cannot be used", f"Known: {', '.join(MOVES)}.")
