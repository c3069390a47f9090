"""Folders of pictures: `root/class/*`, or `root/{train,val,test}/class/*`."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data.decode import PictureHeader, decode_image, ground_of_file, picture_header
from striate.data.dropped import DropList, files_to_drop
from striate.data.fitting import with_channels
from striate.data.identities import file_digests
from striate.data.kinds import DECODED, not_decoded, picture_format
from striate.data.layout import Layout, folders_of_splits
from striate.data.listing import Visits, leave_out_top, named_pictures, pictures_below, subfolders_of
from striate.data.omissions import DROPPED, NO_CLASS, Ledger, count_of, no_pictures, say_omissions, some, unreadable
from striate.data.packing import put, room_for
from striate.data.records import DataSource, Part, alike_in_words, checked_classes

UNSEEN = PictureHeader(0, 0, 3)  # of a picture that was not looked into
LOOKED_AT = 16  # pictures with transparency, whose ground is told

T = TypeVar("T")


class Listing(NamedTuple):
    """The files of one split."""

    path: Path
    pictures: dict[str, list[Path]]  # of each class
    loose: list[Path]  # that lie in no class folder


def picture_files(folder: Path) -> list[Path]:
    """The pictures below `folder`, in the byte order of their names; what is left out is not reported."""
    return pictures_below(folder, Ledger())


def open_folder(
    root: Path,
    *,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    to_train: bool = True,
    look_into: bool = True,
    drop: DropList | None = None,
) -> DataSource:
    """The pictures of a folder.

    The subfolders are splits when their names say so and they have subfolders themselves; else each is a class. What is in doubt stops,
    unless `layout` states it. The classes are those of the training split, in the order of their names' bytes; another split may lack
    some, and may not have others. Folders inside a class folder belong to the class. What is left out is counted. The files are only
    looked into here; they are decoded when a split is read. With `skip_unreadable` they are decoded here once more.

    Without `to_train` the pictures are for a model that has its own classes: there may be any splits and any classes, also one. Without
    `look_into` no file is opened: size and channels are those of any picture. Those of `drop` are not looked into either.

    Raises:
        DataError: no pictures, one class, a class without pictures, a class that the training split has not, folders that may be splits
            or classes, or, unless `skip_unreadable`, a picture that cannot be read; names them.
    """
    ledger = Ledger()
    splits, notes = folders_of_splits(root, ledger, layout=layout, to_train=to_train)
    listings = {split: _listing(path, ledger) for split, path in splits.items()}
    if drop is not None:
        notes += _dropped(drop, root, listings, ledger)
    paths = [path for listing in listings.values() for files in listing.pictures.values() for path in files]
    headers, bad = in_threads(whole_header if skip_unreadable else known_header, paths) if look_into else (dict.fromkeys(paths, UNSEEN), {})
    unreadable_ones = {**ledger.unreadable, **bad}
    ledger.refuse_or_skip(bad, skip=skip_unreadable)
    if to_train and (gone := _lost(listings["train"], headers, unreadable_ones)):
        raise unreadable(unreadable_ones, f"; no pictures are left of class {_names(gone)}")
    if not headers and unreadable_ones:
        raise unreadable(unreadable_ones, "; no pictures are left")
    classes = _checked(root, listings, ledger) if to_train else _present(root, listings, ledger)
    notes += alike_in_words(str(root), classes)
    for split in [split for split, listing in listings.items() if not any(listing.pictures.values())]:
        notes.append(f"{listings.pop(split).path.name}/ holds no pictures, ignored")

    notes += notes_on_ground([path for path, header in headers.items() if header.transparent])
    if several := [path for path, header in headers.items() if header.frames]:
        notes.append(f"{count_of(several)} with several frames or pages, of which the first is read: {some(several)}")
    sizes = {(header.height, header.width) for header in headers.values()}
    channels = max(header.channels for header in headers.values())
    parts: dict[str, Callable[[], Part]] = {}
    for split, listing in listings.items():
        pairs = [(path, k) for k, name in enumerate(classes) for path in listing.pictures.get(name, ()) if path in headers]
        files = [path for path, _ in pairs]
        names = tuple(path.relative_to(root).as_posix() for path in files)
        part = Part(
            np.array([k for _, k in pairs], np.int64),
            tuple(map(str, files)),
            partial(decode_all, files, channels),
            names,
            partial(file_digests, files),
            files,
        )
        parts[split] = partial(_same, part)
    size, left_out = sizes.pop() if len(sizes) == 1 and look_into else None, ledger.omissions()
    notes += [omission.words for omission in left_out]
    return DataSource(root.resolve().name, classes, channels, size, parts, tuple(notes), left_out=left_out)


def _same(part: Part) -> Part:
    return part


def _listing(split: Path, ledger: Ledger) -> Listing:
    """The pictures of each class folder of a split."""
    listing, visits = Listing(split, {}, leave_out_top(split, ledger, NO_CLASS)), Visits()
    for folder in subfolders_of(split):
        name = unicodedata.normalize("NFC", folder.name)  # one name has two spellings in Unicode, and systems differ in it
        if name in listing.pictures:
            raise DataError(f"{split}: two folders are called {name!r}, in two Unicode spellings", "Merge or rename them.")
        if any("\udc80" <= letter <= "\udcff" for letter in name):
            raise DataError(f"{split}: the folder name {os.fsencode(name)!r} is not UTF-8", "Rename the folder.")
        listing.pictures[name] = pictures_below(folder, ledger, visits=visits, owner=name)
    return listing


def _dropped(drop: DropList, root: Path, listings: dict[str, Listing], ledger: Ledger) -> list[str]:
    """Take the files of a list out of the listings; notes on those that have changed or are not there."""
    of_classes = [pictures for listing in listings.values() for pictures in listing.pictures.values()]
    gone, notes = files_to_drop(drop, root, [*itertools.chain(*of_classes), *ledger.unreadable])
    ledger.leave_out(DROPPED, gone)
    for pictures in of_classes:
        pictures[:] = [path for path in pictures if path not in gone]
    ledger.unreadable = {path: error for path, error in ledger.unreadable.items() if path not in gone}
    return notes


def _lost(train: Listing, readable: Collection[Path], bad: Collection[Path]) -> list[str]:
    """The classes of which there are pictures, but none that can be read."""
    of_bad = {path.relative_to(train.path).parts[0] for path in bad if train.path in path.parents}
    return [name for name, files in train.pictures.items() if not any(path in readable for path in files) and (files or name in of_bad)]


def _present(root: Path, listings: dict[str, Listing], ledger: Ledger) -> tuple[str, ...]:
    """The classes that have pictures in any split, in the order of their names' bytes."""
    names = {name for listing in listings.values() for name, paths in listing.pictures.items() if paths}
    first = next((listing for listing in listings.values() if any(listing.pictures.values())), next(iter(listings.values())))
    _refuse_nothing(root, first, ledger)
    return tuple(sorted(names, key=os.fsencode))


def _refuse_nothing(root: Path, listing: Listing, ledger: Ledger) -> None:
    """Refuse a folder without pictures in folders of classes."""
    if not any(listing.pictures.values()):
        loose = f" in class folders; {len(listing.loose):,} are outside any class folder" if listing.loose else ""
        raise no_pictures(str(root), ledger, f"Put them in {listing.path}/CLASS/", loose)
    if {name.lower() for name in listing.pictures} == {"images", "masks"}:
        remedy = "Train with `task='segment'`; or rename the folders, if these are classes."
        raise DataError(f"{listing.path}: holds images/ and masks/: pictures with a class for each pixel", remedy)


def _checked(root: Path, listings: dict[str, Listing], ledger: Ledger) -> tuple[str, ...]:
    """The classes of the training split, if a classifier can be trained on them and the other splits keep to them."""
    train = listings["train"]
    _refuse_nothing(root, train, ledger)
    if empty := [name for name, paths in train.pictures.items() if not paths]:
        raise DataError(f"{train.path}: no pictures of class {_names(empty)}", "Add pictures, or remove the folder.")
    remedy = "Add a folder of pictures for each class."
    if len(train.pictures) == 1 and len(below := subfolders_of(train.path / next(iter(train.pictures)))) > 1:
        remedy = f"{remedy} If {below[0].parent}/ holds the classes, name that folder."
    classes = checked_classes(str(train.path), tuple(train.pictures), remedy)
    for listing in listings.values():
        unknown = [name for name, paths in listing.pictures.items() if paths and name not in classes]
        if unknown:
            remedy = f"Rename the folder, or add the class to {train.path.name}/. Known: {', '.join(classes[:20])}."
            raise DataError(f"{listing.path}: class {_names(unknown)} is not in the training split", remedy)
    return classes


def known_header(path: Path) -> PictureHeader:
    """The header of a picture.

    Raises:
        DataError: not a picture; names the format if it is one that cannot be decoded, whatever the name of the file.
    """
    try:
        return picture_header(path)
    except DataError:
        kind = picture_format(path)
        if kind is not None and kind not in DECODED:
            raise not_decoded(path, kind) from None
        raise


def whole_header(path: Path) -> PictureHeader:
    """The header of a picture that decodes to its end."""
    header = known_header(path)
    decode_image(path)
    return header


def in_threads(work: Callable[[Path], T], paths: Iterable[Path]) -> tuple[dict[Path, T], dict[Path, DataError]]:
    """`work` of each file, done by several threads, and the errors of those files that have one; in the order of `paths`."""

    def attempt(path: Path) -> tuple[Path, T | DataError]:
        try:
            return path, work(path)
        except DataError as error:
            return path, error

    done: dict[Path, T] = {}
    failed: dict[Path, DataError] = {}
    with ThreadPoolExecutor() as pool:
        for path, result in pool.map(attempt, paths):
            if isinstance(result, DataError):
                failed[path] = result
            else:
                done[path] = result
    return done, failed


def notes_on_ground(transparent: Sequence[Path]) -> list[str]:
    """The note on pictures with transparency, from a sample of them: whether they are placed on black."""
    chosen = transparent[:: max(1, len(transparent) // LOOKED_AT)]
    grounds, _ = in_threads(ground_of_file, chosen)
    if "black" not in grounds.values():
        return []
    return [f"{count_of(transparent)} with transparency: those drawn in white alone are placed on black, the others on white"]


def _names(names: list[str]) -> str:
    return some([repr(name) for name in names])


def readable_pictures(paths: Sequence[Path], *, skip_unreadable: bool = False, say: Callable[[str], None]) -> list[Path]:
    """The picture files that a user names, as files or by their folders; what is left out is reported.

    Args:
        paths: Files and folders.
        skip_unreadable: Whether pictures that cannot be decoded, and folders that may not be entered, are left out instead of stopping.
        say: Receives a line for the user.

    Raises:
        DataError: there is no such file or folder, no picture, or one of a format that is not decoded; or none is left.
    """
    ledger = Ledger()
    files = named_pictures(paths, ledger, say)
    _, bad = in_threads(whole_header, files if skip_unreadable else ())
    every = {**ledger.unreadable, **bad, **ledger.closed}
    ledger.refuse_or_skip(bad, skip=skip_unreadable)
    say_omissions(ledger.omissions(), say)
    if not (files := [path for path in files if path not in bad]):
        raise unreadable(every, "; no pictures are left")
    return files


def decode_all(paths: Sequence[Path], channels: int, spec: ImageSpec | None, chosen: np.ndarray | None = None) -> np.ndarray:
    """All pictures as uint8 (N, H, W, C), decoded by several threads into `room_for` them.

    Args:
        paths: The files.
        channels: Their channels without a spec.
        spec: The input that they are fitted to; None keeps their size.
        chosen: The places of those that are decoded; None: all.

    Raises:
        DataError: files cannot be read (all are named), or without a spec the pictures differ in size.
    """
    paths = paths if chosen is None else [paths[place] for place in chosen.tolist()]
    if spec is None:
        headers, bad = in_threads(picture_header, paths)
        if bad:
            raise unreadable(bad)
        sizes = {(header.height, header.width) for header in headers.values()}
        if len(sizes) != 1:
            raise DataError(f"the pictures have {len(sizes):,} different sizes", "Give an `image_size`.")
        shape: tuple[int, ...] = (len(paths), *sizes.pop(), channels)
    else:
        shape = (len(paths), spec.height, spec.width, spec.channels)
    packed = room_for(shape)
    places = {path: place for place, path in enumerate(paths)}

    def pack(path: Path) -> None:
        put(packed, places[path], decode_image(path, spec) if spec else with_channels(decode_image(path), channels), path)

    _, bad = in_threads(pack, paths)
    if bad:
        raise unreadable(bad)
    return packed
