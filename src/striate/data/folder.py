"""Folders of pictures: `root/class/*`, `root/{train,val,test}/class/*`, or classes by a rule; and what all listed pictures share."""

from __future__ import annotations

import contextlib
import itertools
import os
import unicodedata
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data.decode import PictureHeader, decode_image, ground_of_file, picture_header
from striate.data.dropped import DropList, files_to_drop
from striate.data.fitting import with_channels
from striate.data.grouping import refuse_spanning
from striate.data.identities import file_digests
from striate.data.kept import KeptPictures, worth_keeping
from striate.data.kinds import DECODED, HEAD, OF_TABLES, format_of, not_decoded, picture_format
from striate.data.layout import Layout, folders_of_splits
from striate.data.listing import Visits, entries_of, leave_out_top, named_pictures, pictures_below, subfolders_of
from striate.data.omissions import DROPPED, NO_CLASS, NO_MATCH, Ledger, count_of, no_pictures, say_omissions, some, unreadable
from striate.data.packing import put, room_for
from striate.data.pieces import PictureFile, Piece
from striate.data.reading import AS_USUAL, Reading, Rule, by_rule, groups_by_rule, is_rule, no_match, rule_of
from striate.data.records import NO_FACTS, DataSource, Facts, Part, alike_in_words, checked_classes

OF_TASKS = {  # two folders that are no classes
    ("images", "masks"): ("segment", "pictures with a class for each pixel"),
    ("input", "target"): ("restore", "pictures with those that are to be made of them"),
}
UNSEEN = PictureHeader(0, 0, 3)  # of a picture that was not looked into
LOOKED_AT = 16  # pictures with transparency, whose ground is told

T = TypeVar("T")
Of = TypeVar("Of", bound=Hashable)


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
    reading: Reading = AS_USUAL,
    to_train: bool = True,
    look_into: bool = True,
    drop: DropList | None = None,
) -> DataSource:
    """The pictures of a folder.

    The subfolders are splits when their names say so and they have subfolders themselves; else each is a class. What is in doubt stops,
    unless `layout` states it. The classes are those of the training split, in the order of their names' bytes; another split may lack
    some, and may not have others. Folders inside a class folder belong to the class. What is left out is counted. The files are only
    looked into here; they are decoded when a split is read. With `skip_unreadable` they are decoded here once more.

    With a rule as `class_from` of the reading, the classes are not the outer folders, but what the rule finds in the path of each picture
    below its split; pictures in which it finds nothing are left out. A rule as its `group` tells which pictures belong together.

    Without `to_train` the pictures are for a model that has its own classes: there may be any splits and any classes, also one. Without
    `look_into` no file is opened: size and channels are those of any picture. Those of `drop` are not looked into either.

    Raises:
        DataError: no pictures, one class, a class without pictures, a class that the training split has not, folders that may be splits
            or classes, a rule that finds nothing, or, unless `skip_unreadable`, a picture that cannot be read; names them.
        UsageError: a rule is none.
    """
    ledger = Ledger()
    rule = None if reading.class_from in (None, "top") else rule_of(reading.class_from, "class_from")
    splits, notes = folders_of_splits(root, ledger, layout=layout, to_train=to_train, by_rule=rule is not None)
    listings = {split: _listing(path, ledger) if rule is None else _listing_by(rule, path, ledger) for split, path in splits.items()}
    if rule is not None and reading.class_from and not any(listing.pictures for listing in listings.values()):
        unmatched = [path for listing in listings.values() for path in listing.loose]
        if unmatched:
            raise no_match(reading.class_from, str(root), [path.relative_to(root).as_posix() for path in unmatched])
    if drop is not None:
        notes += _dropped(drop, root, listings, ledger)
    paths = [path for listing in listings.values() for files in listing.pictures.values() for path in files]
    headers, bad = in_threads(whole_header if skip_unreadable else known_header, paths) if look_into else (dict.fromkeys(paths, UNSEEN), {})
    unreadable_ones = {**ledger.unreadable, **bad}
    ledger.refuse_or_skip(bad, skip=skip_unreadable)
    if to_train and (gone := _lost(listings["train"], headers, unreadable_ones, rule or rule_of("top", "class_from"))):
        raise unreadable(unreadable_ones, f"; no pictures are left of class {_names(gone)}")
    if not headers and unreadable_ones:
        raise unreadable(unreadable_ones, "; no pictures are left")
    classes = _checked(root, listings, ledger) if to_train else _present(root, listings, ledger)
    notes += alike_in_words(str(root), classes)
    for split in [split for split, listing in listings.items() if not any(listing.pictures.values())]:
        notes.append(f"{listings.pop(split).path.name}/ holds no pictures, ignored")
    splits_of = {}
    for split, listing in listings.items():
        pairs = [(path, k) for k, name in enumerate(classes) for path in listing.pictures.get(name, ()) if path in headers]
        names = tuple(path.relative_to(root).as_posix() for path, _ in pairs)
        grouped = reading.group is not None and (to_train or is_rule(reading.group))  # a column is of the table that a model was trained on
        facts = facts_of_groups(np.array(groups_by_rule(reading.group or "", names, str(root)))) if grouped else NO_FACTS
        splits_of[split] = Pictures([path for path, _ in pairs], names, np.array([k for _, k in pairs], np.int64), facts)
    if to_train and reading.group is not None:
        refuse_spanning(str(root), {split: part.facts.groups for split, part in splits_of.items() if part.facts.groups is not None})
    return source_of_pictures(root.resolve().name, classes, splits_of, headers, ledger, notes, look_into=look_into)


class Pictures(NamedTuple):
    """The pictures of one split, and what is known of them."""

    files: Sequence[PictureFile]
    names: tuple[str, ...]  # below the data's folder
    labels: np.ndarray  # (N,) int64, or (N, K) float64
    facts: Facts = NO_FACTS


def facts_of_groups(groups: np.ndarray) -> Facts:
    """The groups of pictures, which can also be told apart by an evaluation."""
    return Facts({"group": groups}, groups)


def source_of_pictures(
    name: str,
    classes: tuple[str, ...],
    splits: Mapping[str, Pictures],
    headers: Mapping[Any, PictureHeader],
    ledger: Ledger,
    notes: Sequence[str],
    *,
    look_into: bool = True,
    **more: Any,
) -> DataSource:
    """The opened data set of pictures whose headers were read.

    Args:
        name: The name of the data.
        classes: The names of the classes, or of the columns of targets.
        splits: The pictures.
        headers: Of each, and of no others.
        ledger: What was left out.
        notes: Notes on the reading.
        look_into: Whether the headers are those of the files.
        **more: Fields of the source.
    """
    notes = [*notes, *notes_on_ground([path for path, header in headers.items() if header.transparent])]
    if several := [path for path, header in headers.items() if header.frames]:
        notes.append(f"{count_of(several)} with several frames or pages, of which the first is read: {some(several)}")
    sizes = {(header.height, header.width) for header in headers.values()}
    channels = max(header.channels for header in headers.values())
    parts: dict[str, Callable[[], Part]] = {}
    for split, (files, names, labels, facts) in splits.items():
        hashes: dict[PictureFile, bytes] = {}  # of the files that were decoded
        decode, digests = partial(decode_all, files, channels, hashes=hashes), partial(file_digests, files, hashes)
        part = Part(labels, tuple(map(str, files)), decode, names, digests, files, facts)
        parts[split] = partial(_same, part)
    size, left_out = sizes.pop() if len(sizes) == 1 and look_into else None, ledger.omissions()
    notes += [omission.words for omission in left_out]
    return DataSource(name, classes, channels, size, parts, tuple(notes), left_out=left_out, **more)


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


def _listing_by(rule: Rule, split: Path, ledger: Ledger) -> Listing:
    """The pictures of each class that a rule finds in their paths below a split."""
    files = pictures_below(split, ledger)
    listing = Listing(split, {}, [])
    for path, name in zip(files, by_rule(rule, [path.relative_to(split).as_posix() for path in files]), strict=True):
        if name is None:
            listing.loose.append(path)
        else:
            listing.pictures.setdefault(name, []).append(path)
    ledger.leave_out(NO_MATCH, listing.loose)
    return listing


def _lost(train: Listing, readable: Collection[Path], bad: Collection[Path], rule: Rule) -> list[str]:
    """The classes of which there are pictures, but none that can be read."""
    of_bad = {rule(path.relative_to(train.path).as_posix()) for path in bad if train.path in path.parents}
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
        remedy = f"Put them in {listing.path}/CLASS/"
        if listing.loose:
            tables = [path for path in entries_of(listing.path) if path.suffix.lower() in OF_TABLES]
            table = f"the table that lists them, {tables[0]}" if tables else "a table that lists them as the data"
            remedy = f"{remedy}, tell the classes by `class_from='regex:PATTERN'`, or give {table}"
        raise no_pictures(str(root), ledger, remedy, loose)
    for (one, other), (task, what) in OF_TASKS.items():
        if {name.lower() for name in listing.pictures} == {one, other}:
            remedy = f"Train with `task={task!r}`; or rename the folders, if these are classes."
            raise DataError(f"{listing.path}: holds {one}/ and {other}/: {what}", remedy)


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


def known_header(path: PictureFile) -> PictureHeader:
    """The header of a picture.

    Raises:
        DataError: not a picture; names the format if it is one that cannot be decoded, whatever the name of the file.
    """
    try:
        return picture_header(path)
    except DataError:
        kind = format_of(path.content()[:HEAD]) if isinstance(path, Piece) else picture_format(path)
        if kind is not None and kind not in DECODED:
            raise not_decoded(path, kind) from None
        raise


def whole_header(path: PictureFile) -> PictureHeader:
    """The header of a picture that decodes to its end."""
    header = known_header(path)
    decode_image(path)
    return header


def in_threads(work: Callable[[Of], T], paths: Iterable[Of]) -> tuple[dict[Of, T], dict[Of, DataError]]:
    """`work` of each file, done by several threads, and the errors of those files that have one; in the order of `paths`."""

    def attempt(path: Of) -> tuple[Of, T | DataError]:
        try:
            return path, work(path)
        except DataError as error:
            return path, error

    done: dict[Of, T] = {}
    failed: dict[Of, DataError] = {}
    with ThreadPoolExecutor() as pool:
        for path, result in pool.map(attempt, paths):
            if isinstance(result, DataError):
                failed[path] = result
            else:
                done[path] = result
    return done, failed


def notes_on_ground(transparent: Sequence[PictureFile]) -> list[str]:
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


def decode_all(
    paths: Sequence[PictureFile],
    channels: int,
    spec: ImageSpec | None,
    chosen: np.ndarray | None = None,
    *,
    hashes: MutableMapping[PictureFile, bytes] | None = None,
) -> np.ndarray:
    """All pictures as uint8 (N, H, W, C), decoded by several threads into `room_for` them.

    Args:
        paths: The files.
        channels: Their channels without a spec.
        spec: The input that they are fitted to; None keeps their size.
        chosen: The places of those that are decoded; None: all.
        hashes: Gets the SHA-256 of the files, where decoded pictures are kept by it.

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
    kept = KeptPictures(spec, hashes) if spec is not None and worth_keeping(spec, len(paths)) else None

    def pack(place: int) -> None:
        path = paths[place]
        put(packed, place, decode(path), path)

    def decode(path: PictureFile) -> np.ndarray:
        if spec is None:
            return with_channels(decode_image(path), channels)
        return decode_image(path, spec) if kept is None else kept.picture(path)

    with kept or contextlib.nullcontext():
        _, failed = in_threads(pack, range(len(paths)))
    if failed:
        raise unreadable({paths[place]: error for place, error in failed.items()})
    return packed
