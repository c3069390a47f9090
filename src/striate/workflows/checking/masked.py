"""Masks of pictures: whether each can be read, fits its picture and holds classes, and how many pixels there are of each class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.core.errors import DataError
from striate.data.checks import findings_on_masks
from striate.data.decode import decode_mask
from striate.data.dropped import DropRow
from striate.data.findings import DataFinding
from striate.data.fitting import IGNORED
from striate.data.folder import in_threads
from striate.data.identities import DIGEST_BYTES, file_digests
from striate.data.mask_files import Pair
from striate.data.mask_values import BLACK, TWO_TONES, WHITE, refuse_colours, remedy_for
from striate.data.omissions import count_of, some
from striate.workflows.checking.structure import finding
from striate.workflows.checking.surveying import Survey

Shown = Callable[[Sequence[Path]], list[str]]  # the names of files, below the folder of the data


class MaskLook(NamedTuple):
    """One mask, as far as a check needs it."""

    height: int
    width: int
    counts: np.ndarray  # (256,) int64, the pixels of each number
    digest: str  # of its size and numbers


class Masks(NamedTuple):
    """The masks of a data set, and the findings on them."""

    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]  # pixels of each class, by split
    findings: list[DataFinding]
    pictures: Survey  # each with its mask in words, so that copies with different masks are told
    to_drop: list[DropRow]  # the masks that a training refuses

    @property
    def hopeless(self) -> bool:
        """True if a training refuses them."""
        return any(one.severity == "error" for one in self.findings)


def masks_of(pairs: Mapping[str, Sequence[Pair]], seen: Survey, classes: Sequence[str], root: Path) -> Masks:
    """Read the masks of all pictures once.

    Args:
        pairs: The pictures and masks of each split.
        seen: The pictures, split by split in the same order.
        classes: The names in classes.txt; none without that file.
        root: The folder that names are relative to.
    """
    of_all = [(split, pair) for split, found in pairs.items() for pair in found]
    looks, bad = in_threads(_look, [pair.mask for _, pair in of_all])
    counts = {split: [looks[pair.mask].counts for pair in found if pair.mask in looks] for split, found in pairs.items()}
    every = sum((one for found in counts.values() for one in found), np.zeros(256, np.int64))
    values = np.flatnonzero(every)
    two_tones = len(classes) in (0, 2) and values.tolist() == [BLACK, WHITE]
    names = tuple(classes) or (TWO_TONES if two_tones else tuple(map(str, range(int(max(values[values != IGNORED], default=-1)) + 1))))
    if two_tones:
        counts = {
            split: [np.concatenate([one[[BLACK, WHITE]], np.zeros(254, np.int64)]) for one in found] for split, found in counts.items()
        }
    of_path = {(picture.split, picture.place): picture for picture in seen.pictures}
    places = {(split, place): pair for split, found in pairs.items() for place, pair in enumerate(found)}
    sizes = {
        pair.mask: (picture.height, picture.width, looks[pair.mask].height, looks[pair.mask].width)
        for key, pair in places.items()
        if pair.mask in looks and not (picture := of_path[key]).error
    }

    def shown(paths: Sequence[Path]) -> list[str]:
        return [path.relative_to(root).as_posix() for path in paths]

    findings = [*_of_reading(bad, shown), *_of_sizes(sizes, shown), *_of_values(looks, values, len(classes), two_tones, shown)]
    refused = dict.fromkeys(Path(name) for one in findings for name in one.names)
    readable = [path for path in refused if path not in bad]
    digests = dict(zip(readable, file_digests(readable), strict=True))
    to_drop = [DropRow(True, shown([path])[0], digests.get(path, b""), "mask") for path in refused]
    if len(names) < 2 and not findings:
        message = f"the masks hold {f'only class {names[0]!r}' if names else 'no class'}; a network needs two"
        findings.append(finding("masks_of_one_class", message, "Draw masks with at least the indices 0 and 1.", severity="error"))
    else:
        for split, found in pairs.items():
            told = [pair.mask for pair in found if pair.mask in looks]
            findings += findings_on_masks(split, np.array(counts[split]).reshape(-1, 256), names, shown(told))
            findings += _background_alone(split, counts[split], names, shown(told))
    per_class = {split: dict(zip(names, sum(found, np.zeros(256, np.int64)).tolist(), strict=False)) for split, found in counts.items()}
    pictures = [
        picture._replace(said=f"mask {looks[pair.mask].digest}" if (pair := places[picture.split, picture.place]).mask in looks else "mask")
        for picture in seen.pictures
    ]
    return Masks(names, per_class, findings, seen._replace(pictures=pictures), to_drop)


def _look(path: Path) -> MaskLook:
    mask = decode_mask(path)
    digest = hashlib.sha256(repr(mask.shape).encode() + mask.tobytes()).digest()[:DIGEST_BYTES].hex()[:6]
    height, width = mask.shape
    return MaskLook(height, width, np.bincount(mask.ravel(), minlength=256), digest)


def _of_reading(bad: Mapping[Path, DataError], shown: Shown) -> Iterator[DataFinding]:
    """Masks that cannot be read."""
    if bad:
        first = next(iter(bad.items()))
        message = f"{count_of(bad, 'mask')} cannot be read: {some(shown(list(bad)))} ({first[1].message.removeprefix(f'{first[0]}: ')})"
        yield finding("masks", message, first[1].remedy, severity="error", evidence=len(bad), names=list(map(str, bad)))


def _of_sizes(sizes: Mapping[Path, tuple[int, int, int, int]], shown: Shown) -> Iterator[DataFinding]:
    """Masks of another size than their pictures."""
    other = [path for path, (height, width, *of_mask) in sizes.items() if [height, width] != of_mask]
    if other:
        height, width, *of_mask = sizes[other[0]]
        first = f"{of_mask[0]} x {of_mask[1]}, the picture {height} x {width}"
        message = f"{count_of(other, 'mask')} of another size than the picture: {some(shown(other))} ({first})"
        remedy = "Draw each mask in its picture's own size, upright as the picture is shown."
        yield finding("masks", message, remedy, severity="error", evidence=len(other), names=list(map(str, other)))


def _of_values(looks: Mapping[Path, MaskLook], values: np.ndarray, num_named: int, two_tones: bool, shown: Shown) -> Iterator[DataFinding]:
    """Numbers in masks that are no classes."""
    if two_tones:
        return
    if not num_named:
        try:
            refuse_colours(values, "the masks")
        except DataError as error:
            yield finding("masks", error.message.removeprefix("the masks: "), error.remedy, severity="error", evidence=len(looks))
        return
    outside = [path for path, look in looks.items() if look.counts[num_named:IGNORED].any()]
    if outside:
        held = np.flatnonzero(looks[outside[0]].counts)
        value = held[(held >= num_named) & (held != IGNORED)][0]
        what = f"such as {value} of {num_named} classes"
        message = f"{count_of(outside, 'mask')} with numbers that are no class: {some(shown(outside))} ({what})"
        remedy = remedy_for(held, num_named)
        yield finding("masks", message, remedy, severity="error", evidence=len(outside), names=list(map(str, outside)))


def _background_alone(split: str, counts: Sequence[np.ndarray], names: Sequence[str], masks: Sequence[str]) -> Iterator[DataFinding]:
    """Masks that hold only the first class, which is the background by custom."""
    alone = [mask for mask, one in zip(masks, counts, strict=True) if one[0] and not one[1:IGNORED].any()]
    if alone and len(alone) < len(masks):
        message = f"{len(alone):,} of {len(masks):,} {split} masks hold only class {names[0]!r}: {some(alone)}"
        remedy = "Nothing to do if nothing else is in their pictures."
        yield finding("empty_masks", message, remedy, severity="note", where=split, evidence=len(alone), names=alone)
