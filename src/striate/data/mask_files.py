"""The files of pictures with masks, before any is opened: the mask of each picture, the splits, and the names of the classes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from striate.core.bounded import read_text
from striate.core.errors import DataError, RefusedFileError
from striate.data.dropped import DropList, without_listed
from striate.data.fitting import IGNORED
from striate.data.folder import picture_files
from striate.data.layout import Layers, Layout, folders_of_splits, refuse_splits_in_classes
from striate.data.listing import leave_out_top, pictures_below, subfolders_of
from striate.data.mask_values import THRESHOLD
from striate.data.omissions import NO_LABELS, NO_PAIR, Ledger, count_of, some

CLASSES = "classes.txt"  # of a folder of pictures and masks: their names


class Pair(NamedTuple):
    """A picture and its mask."""

    picture: Path
    mask: Path


class MaskFiles(NamedTuple):
    """The pictures and masks of a folder."""

    pairs: dict[str, list[Pair]]  # by split; that which tells the classes comes first
    ledger: Ledger
    notes: list[str]


def mask_files(root: Path, *, layout: Layout = "auto", to_train: bool = True, drop: DropList | None = None) -> MaskFiles:
    """The pictures of a folder with their masks, by split, but for those of which `drop` lists a file.

    Raises:
        DataError: no pictures, a picture without a mask, two pictures that share one, or folders that may be splits; names it.
    """
    ledger = Ledger()
    whole = Layers({"train": root}, [])
    inside = "{images,masks}"
    folders, notes = (
        whole if (root / "images").is_dir() else folders_of_splits(root, ledger, layout=layout, inside=inside, to_train=to_train)
    )
    if layout == "auto":
        refuse_splits_in_classes(folders)
    pairs, dropped = without_listed(drop, root, {split: _paired(folder, ledger) for split, folder in folders.items()}, ledger)
    notes += dropped
    first = "train" if "train" in pairs else next((split for split, found in pairs.items() if found), next(iter(pairs)))
    for split in [split for split, found in pairs.items() if not found and split != first]:
        notes.append(f"{folders[split].name}/images/ holds no pictures, ignored")
        del pairs[split]
    if not pairs[first] and not ledger.unreadable:
        remedy = f"Put pictures in {folders[first] / 'images'}/ and their masks, as PNG with the same names, in masks/ beside it."
        raise DataError(f"{folders[first]}: no pictures in images/", remedy)
    ledger.forget(root / CLASSES)
    return MaskFiles({first: pairs.pop(first), **pairs}, ledger, notes)


def _paired(folder: Path, ledger: Ledger) -> list[Pair]:
    """The pictures of images/ with their masks of masks/; files without a partner go to `ledger`."""
    images, masks = folder / "images", folder / "masks"
    _leave_out_others(folder, ledger)
    if not images.is_dir():
        return []
    pictures = pictures_below(images, ledger)
    by_mask: dict[Path, Path] = {}
    for picture in pictures:
        mask = (masks / picture.relative_to(images)).with_suffix(".png")
        if mask in by_mask:
            raise DataError(f"{by_mask[mask]} and {picture.name} would share the mask {mask}", "Rename one of them, and give it a mask.")
        by_mask[mask] = picture
    there = set(pictures_below(masks, ledger)) if masks.is_dir() else set()
    if missing := [mask for mask in by_mask if mask not in there]:
        stems = {other.with_suffix(".png"): other for other in there}
        other = f"; {stems[missing[0]].name} is not a PNG file" if missing[0] in stems else ""
        message = f"{count_of(missing)} missing: {some(missing)}, the mask of {by_mask[missing[0]].name}{other}"
        remedy = "Give each picture of images/ a mask in masks/: a PNG file with the same name."
        raise DataError(message, f"{remedy} JPEG smooths edges; of two classes, undo that first: {THRESHOLD}" if other else remedy)
    not_read = {(masks / picture.relative_to(images)).with_suffix(".png") for picture in ledger.unreadable if images in picture.parents}
    ledger.leave_out(NO_PAIR, there - set(by_mask) - not_read)
    return [Pair(picture, mask) for mask, picture in by_mask.items()]


def _leave_out_others(folder: Path, ledger: Ledger) -> None:
    """Record what lies beside images/ and masks/."""
    leave_out_top(folder, ledger, NO_LABELS)
    for path in subfolders_of(folder):
        if path.name not in ("images", "masks"):
            ledger.leave_out(NO_LABELS, picture_files(path))


def class_names(root: Path) -> tuple[str, ...]:
    """The names of classes.txt; empty if there is no such file."""
    path = root / CLASSES
    if not os.path.lexists(path):
        return ()
    try:
        names = [line.strip() for line in read_text(path).rstrip().split("\n")]
    except RefusedFileError as error:
        raise DataError(error.message, "Write one class name per line, in UTF-8.") from None
    for number, name in enumerate(names, 1):
        if not name or name in names[: number - 1]:
            problem = f"{name!r} appears twice" if name else "no name"
            raise DataError(f"{path}, line {number}: {problem}", "Write the name of each class once, one per line: index 0 first.")
    if len(names) > IGNORED:
        raise DataError(f"{path}: {len(names)} classes; a mask can hold at most {IGNORED}", "255 is reserved for pixels without a class.")
    return tuple(names)
