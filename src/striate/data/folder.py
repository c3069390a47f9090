"""Folders of pictures: `root/class/*`, or `root/{train,val,test}/class/*`."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data.decode import PictureHeader, decode_image, ground_of_file, picture_header
from striate.data.fitting import with_channels
from striate.data.packing import room_for
from striate.data.records import DataSource, Part, checked_classes

SYNONYMS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
IGNORED = ("thumbs.db", "desktop.ini", "__macosx")
SHOWN = 5  # names in one message
LOOKED_AT = 16  # pictures with transparency, whose ground is told

T = TypeVar("T")


class Listing(NamedTuple):
    """The files of one split."""

    path: Path
    pictures: dict[str, list[Path]]  # of each class
    others: list[Path]  # files that are not pictures by their endings, or lie in no class folder


def picture_files(folder: Path) -> list[Path]:
    """The pictures below `folder` by their names' endings, hidden files left out, in the byte order of their names."""
    return _files(folder)[0]


def open_folder(root: Path, *, skip_unreadable: bool = False) -> DataSource:
    """The pictures of a folder.

    The subfolders are splits when one of them is called train (or training) and has subfolders itself; else each is a class. The
    classes are those of the training split, in the order of their names' bytes; another split may lack some, and may not have others.
    Hidden files and files with other endings are left out; folders inside a class folder belong to the class. The files are only
    looked into here; they are decoded when a split is read. With `skip_unreadable` they are decoded here once more.

    Raises:
        DataError: no pictures, one class, a class without pictures, a class that the training split has not, or, unless
            `skip_unreadable`, a file that is not a picture; names them.
    """
    splits, notes = split_folders(root)
    listings = {split: _listing(path) for split, path in splits.items()}
    classes = _checked(root, listings)
    for split in [split for split, listing in listings.items() if not any(listing.pictures.values())]:
        notes.append(f"{listings.pop(split).path.name}/ holds no pictures, ignored")
    if others := [path for listing in listings.values() for path in listing.others]:
        notes.append(f"{count_of(others)} ignored, by the ending of the name or outside a class folder: {some(others)}")

    paths = [path for listing in listings.values() for files in listing.pictures.values() for path in files]
    headers, bad = in_threads(whole_header if skip_unreadable else picture_header, paths)
    if bad and not skip_unreadable:
        raise unreadable(bad)
    if bad:
        notes.append(left_out(bad))
    if gone := [name for name, files in listings["train"].pictures.items() if not any(path in headers for path in files)]:
        raise unreadable(bad, f"; no picture is left of class {_names(gone)}")

    notes += notes_on_ground([path for path, header in headers.items() if header.transparent])
    sizes = {(header.height, header.width) for header in headers.values()}
    channels = max(header.channels for header in headers.values())
    parts: dict[str, Callable[[], Part]] = {}
    for split, listing in listings.items():
        pairs = [(path, k) for k, name in enumerate(classes) for path in listing.pictures.get(name, ()) if path in headers]
        files = [path for path, _ in pairs]
        part = Part(np.array([k for _, k in pairs], np.int64), tuple(map(str, files)), partial(decode_all, files, channels))
        parts[split] = partial(_same, part)
    return DataSource(root.resolve().name, classes, channels, sizes.pop() if len(sizes) == 1 else None, parts, tuple(notes))


def _same(part: Part) -> Part:
    return part


def split_folders(root: Path, inside: str = "CLASS") -> tuple[dict[str, Path], list[str]]:
    """The folders of the splits, by split, and what to tell of them; `root` itself is the training split when there are none."""
    subfolders = _subfolders(root)
    named = [path for path in subfolders if path.name.lower() in SYNONYMS and _subfolders(path)]
    splits: dict[str, Path] = {}
    for path in named:
        split = SYNONYMS[path.name.lower()]
        if split in splits:
            raise DataError(f"{root}: both {splits[split].name}/ and {path.name}/ are a {split} split", "Keep one of them.")
        splits[split] = path
    if not splits:
        return {"train": root}, []
    if "train" not in splits:
        have = ", ".join(f"{path.name}/" for path in named)
        raise DataError(f"{root}: has {have} but no train/", f"Put the training pictures in {root / 'train'}/{inside}/.")
    notes = [f"{path.name}/ is read as the {split} split" for split, path in splits.items() if path.name != split]
    others = [path.name for path in subfolders if path not in named]
    if others:
        notes.append(f"not a split, ignored: {', '.join(f'{name}/' for name in others[:SHOWN])}")
    return splits, notes


def _listing(split: Path) -> Listing:
    """The pictures of each class folder of a split."""
    listing = Listing(split, {}, [path for path in _entries(split) if path.is_file()])
    for folder in _subfolders(split):
        name = unicodedata.normalize("NFC", folder.name)  # one name has two spellings in Unicode, and systems differ in it
        if name in listing.pictures:
            raise DataError(f"{split}: two folders are called {name!r}, in two Unicode spellings", "Merge or rename them.")
        if any("\udc80" <= letter <= "\udcff" for letter in name):
            raise DataError(f"{split}: the folder name {os.fsencode(name)!r} is not UTF-8", "Rename the folder.")
        listing.pictures[name], others = _files(folder)
        listing.others.extend(others)
    return listing


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures below `folder`, and the other files, both sorted."""

    def cannot_list(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed: {error.strerror}", "Check its permissions.")

    pictures: list[Path] = []
    others: list[Path] = []
    for directory, subfolders, names in os.walk(folder, onerror=cannot_list):
        subfolders[:] = [name for name in subfolders if not _ignored(name)]
        for name in names:
            if not _ignored(name):
                (pictures if name.lower().endswith(EXTENSIONS) else others).append(Path(directory) / name)
    return sorted(pictures, key=os.fsencode), sorted(others, key=os.fsencode)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted((path for path in folder.iterdir() if not _ignored(path.name)), key=lambda path: os.fsencode(path.name))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}", "Check its permissions.") from None


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def _checked(root: Path, listings: dict[str, Listing]) -> tuple[str, ...]:
    """The classes of the training split, if a classifier can be trained on them and the other splits keep to them."""
    train = listings["train"]
    if not any(train.pictures.values()):
        here = sum(path.name.lower().endswith(EXTENSIONS) for path in train.others)
        loose = f" in class folders; {here:,} lie outside of one" if here else ""
        raise DataError(f"{root}: no pictures{loose}", f"Put them in {train.path}/CLASS/; endings: {' '.join(EXTENSIONS)}.")
    if {name.lower() for name in train.pictures} == {"images", "masks"}:
        remedy = "Train with --task segment; or rename the folders, if these are classes."
        raise DataError(f"{train.path}: holds images/ and masks/, which are pictures with a class for each pixel", remedy)
    if empty := [name for name, paths in train.pictures.items() if not paths]:
        raise DataError(f"{train.path}: no pictures of class {_names(empty)}", "Add pictures, or remove the folder.")
    classes = checked_classes(str(train.path), tuple(train.pictures), "Add a folder of pictures for each class.")
    for listing in listings.values():
        unknown = [name for name, paths in listing.pictures.items() if paths and name not in classes]
        if unknown:
            remedy = f"Rename the folder, or add the class to {train.path.name}/. Known: {', '.join(classes[:20])}."
            raise DataError(f"{listing.path}: class {_names(unknown)} is not in the training split", remedy)
    return classes


def whole_header(path: Path) -> PictureHeader:
    """The header of a picture that decodes to its end."""
    decode_image(path)
    return picture_header(path)


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
    """What to tell of pictures with transparency, by a look at a few of them: whether they are laid over black."""
    chosen = transparent[:: max(1, len(transparent) // LOOKED_AT)]
    grounds, _ = in_threads(ground_of_file, chosen)
    if "black" not in grounds.values():
        return []
    return [f"{count_of(transparent)} with transparency: those on which all that is drawn is white are put on black, the others on white"]


def unreadable(bad: Mapping[Path, DataError], more: str = "") -> DataError:
    """The error that names the files, with the reason of the first."""
    first, error = next(iter(bad.items()))
    reason = error.message.removeprefix(f"{first}: ").removeprefix("cannot be read as a picture: ")
    remedy = "Remove or repair them, or leave them out with --skip-unreadable."
    if "channels, the model takes" in reason:
        remedy = "Give pictures of the kind that the model was trained on, grey or coloured."
    return DataError(f"{count_of(bad)} cannot be read as pictures: {some(bad)} ({reason}){more}", remedy)


def left_out(bad: Mapping[Path, DataError]) -> str:
    """A note about the files that nothing is made of."""
    return f"{count_of(bad)} unreadable and left out: {some(bad)}"


def some(names: Collection[object]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, itertools.islice(names, SHOWN))) + more


def _names(names: list[str]) -> str:
    return some([repr(name) for name in names])


def count_of(paths: Collection[Path]) -> str:
    """How many files, in words."""
    return "1 file" if len(paths) == 1 else f"{len(paths):,} files"


def decode_all(paths: Sequence[Path], channels: int, spec: ImageSpec | None) -> np.ndarray:
    """All pictures as uint8 (N, H, W, C), decoded by several threads into `room_for` them.

    Args:
        paths: The files.
        channels: What they get without a spec.
        spec: What they are brought to; None keeps their size.

    Raises:
        DataError: files cannot be read (all are named), or without a spec the pictures differ in size.
    """
    if spec is None:
        headers, bad = in_threads(picture_header, paths)
        if bad:
            raise unreadable(bad)
        sizes = {(header.height, header.width) for header in headers.values()}
        if len(sizes) != 1:
            raise DataError(f"the pictures have {len(sizes):,} different sizes", "Give an --img-size.")
        shape: tuple[int, ...] = (len(paths), *sizes.pop(), channels)
    else:
        shape = (len(paths), spec.height, spec.width, spec.channels)
    packed = room_for(shape)
    places = {path: place for place, path in enumerate(paths)}

    def pack(path: Path) -> None:
        packed[places[path]] = decode_image(path, spec) if spec else with_channels(decode_image(path), channels)

    _, bad = in_threads(pack, paths)
    if bad:
        raise unreadable(bad)
    return packed
