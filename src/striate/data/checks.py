"""Checks of pictures and labels once they are read: data that cannot teach or measure anything is reported before the training.

Everything is told of the pictures as the network gets them. The checks of a training set cost less than reading it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from striate.core.errors import DataError
from striate.core.images import ImageSpec, InputSpec
from striate.data.copies import Place, copies
from striate.data.findings import DataFinding, Kind, Severity
from striate.data.fitting import IGNORED, placement
from striate.data.masks import MaskedSet
from striate.data.records import ImageSet

FLAT = 3  # grey levels, within which a picture is of one colour
FAINT, DIM = 8, 32  # grey levels, below which all pictures together show nothing, or little
MANY = 0.05  # of the pictures, from which on flat ones are a warning
GRIDS = (3, 8)  # rows and columns of the pixels that are looked at first
CHUNK = 1024  # pictures at a time
SAMPLE = 512  # pictures whose values are looked at first
SHOWN = 3  # examples in one message
SHARE = "share of the pictures"
FEWEST = 3  # pictures of a class, from which on it is odd that all are the same
RESCALE = (
    "Scale the values to 0..255 before converting them to 8 bits, with the same limits for all pictures: (v - low) / (high - low) * 255. "
    "Typical causes are 10 or 12 bits in 16-bit files, and floats in [0, 1] cast to uint8."
)


def look(
    train: ImageSet, val: ImageSet | None = None, *, spec: InputSpec | None = None, size: tuple[int, int] | None = None
) -> tuple[DataFinding, ...]:
    """The problems of the data of a training, the most severe first; empty if there are none.

    Args:
        train: The training pictures.
        val: Those it validates on.
        spec: The input that both were fitted to, and `size` their size before, so that the border of "pad" is ignored.
        size: (H, W); None if they differed.
    """
    sets = [train] if val is None else [train, val]
    pictures = train.kind == "pictures"
    inside = _inside(spec if isinstance(spec, ImageSpec) else None, size)
    flat = [flat_pictures(images.images[inside]) if pictures else np.zeros(len(images), bool) for images in sets]
    groups = copies([images.images for images in sets], flat)
    found = [*_masks(sets), *_shared(sets, groups), *_two_labels(sets, groups)]
    if pictures:
        found += _faint(train, flat[0], inside) or _flat(train, flat[0])
    found += _equal(train, groups)
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def refuse_hopeless(found: Iterable[DataFinding]) -> None:
    """Raise an error if nothing could be learned.

    Raises:
        DataError: a finding is an error.
    """
    for finding in found:
        if finding.severity == "error":
            raise DataError(finding.message, finding.remedy)


# ---- pictures that show nothing


def _inside(spec: ImageSpec | None, size: tuple[int, int] | None) -> tuple[slice, slice, slice]:
    """The part of the pictures that is not padding."""
    if spec is None or size is None:
        return slice(None), slice(None), slice(None)
    placed = placement(*size, spec)
    return slice(None), slice(placed.top, placed.top + placed.size[0]), slice(placed.left, placed.left + placed.size[1])


def flat_pictures(images: np.ndarray) -> np.ndarray:
    """(N,) bool: which of uint8 `images` (N, H, W, C) are of one colour, within 3 levels in each channel.

    Most pictures are told by a few of their pixels; only what is left is looked at as a whole.
    """
    left = np.arange(len(images))
    for side in GRIDS:
        rows, columns = (np.linspace(0, length - 1, min(length, side)).astype(np.intp) for length in images.shape[1:3])
        parts = [left[start : start + CHUNK] for start in range(0, len(left), CHUNK)]
        kept = [part[_spread(images[part[:, None, None], rows[:, None], columns]) <= FLAT] for part in parts]
        left = np.concatenate(kept) if kept else left
    whole = [place for place in left.tolist() if _spread(images[place : place + 1])[0] <= FLAT]
    flat = np.zeros(len(images), bool)
    flat[whole] = True
    return flat


def _spread(images: np.ndarray) -> np.ndarray:
    """(n,) uint8: the largest difference of two pixels in a channel of `images` (n, h, w, C)."""
    pixels = images.reshape(len(images), -1, images.shape[3])
    spread: np.ndarray = np.max(pixels.max(1) - pixels.min(1), 1)
    return spread


def _flat(images: ImageSet, flat: np.ndarray) -> list[DataFinding]:
    """Pictures of one colour each."""
    if not flat.any():
        return []
    count, classes = int(flat.sum()), _classes_of(images, flat)
    of_classes = f", among them all of class {_some(classes)}" if classes and count < len(images) else ""
    message = f"{_of(count, len(images))} {images.split} pictures are blank: within each, colours differ by at most {FLAT} of 255"
    grave = bool(classes) or count >= MANY * len(images)
    names = tuple(images.paths[place] for place in np.flatnonzero(flat).tolist())
    remedy = "Check them, and remove them unless their colour alone identifies the class."
    severity: Severity = "warning" if grave else "note"
    return [_finding("flat_pictures", images, count / len(images), message + of_classes, remedy, names=names, severity=severity)]


def _faint(images: ImageSet, flat: np.ndarray, inside: tuple[slice, slice, slice]) -> list[DataFinding]:
    """All pictures within a few grey levels."""
    step = max(1, len(images) // SAMPLE)
    pixels = images.images[inside]
    low, high = value_range(pixels[::step])
    if high - low < DIM:
        low, high = value_range(pixels)
    if high - low >= DIM:
        return []
    values = f"are {low}" if low == high else f"lie from {low} to {high}"
    nothing = f", and {_of(int(flat.sum()), len(flat))} of them are blank" if flat.any() else ""
    severity: Severity = "warning" if high - low < FAINT or flat.all() else "note"
    message = f"all values of the {images.split} pictures {values}, of 255{nothing}"
    return [_finding("faint_pictures", images, high - low, message, RESCALE, unit="grey levels", severity=severity)]


def value_range(images: np.ndarray) -> tuple[int, int]:
    """The least and the greatest value of uint8 `images`, of one picture or more."""
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    return min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)


def _classes_of(images: ImageSet, chosen: np.ndarray) -> list[str]:
    """The classes of which all pictures, and at least three, are `chosen` (N,) bool."""
    counts = _class_counts(images)
    if counts is None:
        return []
    inside = np.bincount(images.labels[chosen], minlength=len(counts))
    return [name for name, count, found in zip(images.classes, counts, inside, strict=True) if FEWEST <= count == found]


def _class_counts(images: ImageSet) -> np.ndarray | None:
    """(K,) how many pictures each class has; None where a picture has no single class."""
    return images.class_counts() if images.labels.ndim == 1 else None


# ---- pictures that are there more than once


def _shared(sets: Sequence[ImageSet], groups: Sequence[Sequence[Place]]) -> list[DataFinding]:
    if len(sets) == 1:
        return []
    pairs = [(place, other[0]) for group in groups if (other := [p for p in group if p.which == 0]) for place in group if place.which == 1]
    return shared_finding(sets[1], [(sets[1].paths[place.place], sets[0].paths[other.place]) for place, other in pairs])


def shared_finding(images: ImageSet, pairs: Sequence[tuple[str, str]]) -> list[DataFinding]:
    """The findings on `pairs` of a picture of `images` and the equal training picture; empty without pairs."""
    if not pairs:
        return []
    what, each = images.kind, _each(images)
    message = f"{_of(len(pairs), len(images))} {images.split} {what} are also training {what}, {each} for {each}: {_equations(pairs)}"
    remedy = f"Remove them from one of the two: memorized {what} count as correct, so the {images.split} accuracy is too high."
    names = tuple(name for name, _ in pairs)
    return [_finding("shared_pictures", images, len(pairs) / len(images), message, remedy, names=names)]


def _two_labels(sets: Sequence[ImageSet], groups: Sequence[Sequence[Place]]) -> list[DataFinding]:
    pairs = []
    for group in groups:
        first, label = group[0], sets[group[0].which].labels[group[0].place]
        if other := next((p for p in group if not np.array_equal(sets[p.which].labels[p.place], label)), None):
            pairs.append((_labelled(sets, first), _labelled(sets, other)))
    if not pairs:
        return []
    word, what = sets[0].label_noun, sets[0].kind
    one = f"1 {what[:-1]} occurs with two {word}" if len(pairs) == 1 else f"{len(pairs):,} {what} occur with two {word} each"
    remedy = f"Only one of the {word} can be right: remove the copy with the wrong one."
    names = tuple(name for pair in pairs for name in pair)
    share = len(pairs) / len(sets[0])
    return [_finding("two_labels", sets[0], share, f"{one}: {_equations(pairs)}", remedy, names=names)]


def _labelled(sets: Sequence[ImageSet], place: Place) -> str:
    images = sets[place.which]
    label, name = images.labels[place.place], images.paths[place.place]
    return f"{name} ({images.classes[label]})" if images.labels.ndim == 1 else name


def _equal(images: ImageSet, groups: Sequence[Sequence[Place]]) -> list[DataFinding]:
    """Classes, or the whole set, of which all pictures are one and the same."""
    counts = _class_counts(images)
    for group in groups:
        places = [place.place for place in group if place.which == 0]
        if len(places) == len(images):
            return [_equal_finding(images, f"all {len(images):,} {images.split} {images.kind}", 1.0)]
        if counts is None or len(places) < FEWEST:
            continue
        labels = images.labels[places]
        if (labels == labels[0]).all() and counts[labels[0]] == len(labels):
            what = f"all {len(labels):,} {images.split} {images.kind} of class {images.classes[labels[0]]!r}"
            return [_equal_finding(images, what, len(labels) / len(images))]
    return []


def _equal_finding(images: ImageSet, what: str, share: float) -> DataFinding:
    remedy = "Check them: together they teach no more than one of them."
    return _finding("equal_pictures", images, share, f"{what} are the same, {_each(images)} for {_each(images)}", remedy)


# ---- masks


def _masks(sets: Sequence[ImageSet]) -> list[DataFinding]:
    found: list[DataFinding] = []
    for images in (images for images in sets if isinstance(images, MaskedSet)):
        counts = np.array([np.bincount(mask.ravel(), minlength=256) for mask in images.labels]).reshape(-1, 256)
        found += findings_on_masks(images.split, counts, images.classes, images.paths)
    return found


def findings_on_masks(split: str, counts: np.ndarray, classes: Sequence[str], paths: Sequence[str]) -> list[DataFinding]:
    """The findings on the masks of a split: classes that no pixel has, and masks without any class.

    Args:
        split: Its name.
        counts: (N, 256) the pixels of each number in each mask.
        classes: The names of the first numbers.
        paths: (N) what the pictures are called.
    """
    of_all = counts.sum(0)[: len(classes)]
    present = [name for name, count in zip(classes, of_all, strict=True) if count]
    empty = np.flatnonzero(counts[:, :IGNORED].sum(1) == 0)
    if split == "train" and len(present) < 2:
        what = f"hold only class {present[0]!r}" if present else f"hold no class: every pixel is {IGNORED}"
        remedy = f"Give each pixel the index of its class, 0 to {len(classes) - 1}; {IGNORED} is for pixels without a class."
        return [_of_split("masks_of_one_class", split, 1.0, f"the training masks {what}", remedy, severity="error")]
    if not present:
        message = f"the {split} masks hold no class: every pixel is {IGNORED}, so there is nothing to measure"
        remedy = "Draw the masks of some pictures of that split, or leave the split out."
        return [_of_split("unlabelled_masks", split, 1.0, message, remedy, severity="error")]
    found = []
    if len(empty):
        names = tuple(paths[place] for place in empty.tolist())
        message = f"{_of(len(empty), len(counts))} {split} masks hold no class, every pixel is {IGNORED}: {_some(names)}"
        remedy = f"Draw them, or leave the pictures out; {IGNORED} is for pixels without a class."
        found.append(_of_split("unlabelled_masks", split, len(empty) / len(counts), message, remedy, names=names))
    if split == "train" and len(present) < len(classes):
        absent = [name for name in classes if name not in present]
        message = f"the training masks have no pixel of class {_some(absent)}"
        remedy = "Add pictures of it, or remove it from classes.txt."
        found.append(_of_split("absent_classes", split, len(absent) / len(classes), message, remedy, severity="note"))
    return found


# ---- words


def _finding(kind: Kind, images: ImageSet, *told: Any, **more: Any) -> DataFinding:
    return _of_split(kind, images.split, *told, **more)


def _of_split(
    kind: Kind,
    split: str,
    evidence: float,
    message: str,
    remedy: str,
    *,
    severity: Severity = "warning",
    unit: str = SHARE,
    names: tuple[str, ...] = (),
) -> DataFinding:
    return DataFinding(
        kind=kind,
        severity=severity,
        where=split,
        evidence=evidence,
        unit=unit,
        message=message,
        remedy=remedy,
        names=names,
    )


def _each(images: ImageSet) -> str:
    """The smallest part of a sample, in words."""
    return "pixel" if images.kind == "pictures" else "value"


def _of(count: int, total: int) -> str:
    return f"all {total:,}" if count == total else f"{count:,} of {total:,}"


def _equations(pairs: Sequence[tuple[str, str]]) -> str:
    more = f" and {len(pairs) - SHOWN:,} more" if len(pairs) > SHOWN else ""
    return "; ".join(f"{one} = {other}" for one, other in pairs[:SHOWN]) + more


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
