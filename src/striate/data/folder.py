"""Folders of pictures: `root/class/*`, or `root/{train,val,test}/class/*`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data.decode import GREY_MODES, decode_image
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
SHOWN = 5  # files named in one message
SHARE_OF_MEMORY = 0.25  # decoded pictures beyond this share of the machine's memory lie in a file


def picture_files(folder: Path) -> list[Path]:
    """The pictures below `folder` by their names' endings, hidden files left out, in the byte order of their names."""
    found = []
    for directory, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not _ignored(name)]
        found += [Path(directory) / name for name in names if not _ignored(name) and name.lower().endswith(EXTENSIONS)]
    return sorted(found, key=os.fsencode)


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def open_folder(root: Path, *, skip_unreadable: bool = False) -> DataSource:
    """The pictures of a folder.

    The subfolders are splits when one of them is called train (or training); else each is a class. The classes are those of the
    training split, in alphabetical order; another split may lack some, and may not have others.

    Raises:
        DataError: no pictures, one class, a class without pictures, a class that the training split has not, or, unless
            `skip_unreadable`, a file that cannot be decoded; names them.
    """
    subfolders = {p.name: p for p in sorted(root.iterdir(), key=os.fsencode) if p.is_dir() and not _ignored(p.name)}
    splits = {SYNONYMS[name.lower()]: path for name, path in subfolders.items() if name.lower() in SYNONYMS}
    if "train" not in splits:
        splits = {"train": root}
    notes = [f"{path.name}/ is read as {split}" for split, path in splits.items() if path != root and path.name != split]
    others = sorted(set(subfolders) - {path.name for path in splits.values()}) if splits["train"] != root else []
    if others:
        notes.append(f"not a split, ignored: {', '.join(others[:SHOWN])}")

    files = {split: _files_by_class(path) for split, path in splits.items()}
    classes = tuple(files["train"])
    if not any(files["train"].values()):
        raise DataError(f"{root}: no pictures", f"Put them in {root}/CLASS/; endings: {' '.join(EXTENSIONS)}.")
    if empty := [name for name, paths in files["train"].items() if not paths]:
        raise DataError(f"{splits['train']}: no pictures of class {', '.join(map(repr, empty[:SHOWN]))}", "Add pictures, or remove the folder.")
    classes = checked_classes(str(root), classes)
    for split, by_class in files.items():
        unknown = [name for name, paths in by_class.items() if paths and name not in classes]
        if unknown:
            names = ", ".join(map(repr, unknown[:SHOWN]))
            remedy = f"Rename the folder, or add the class to {splits['train'].name}/. Known: {', '.join(classes[:20])}."
            raise DataError(f"{splits[split]}: class {names} is not in the training split", remedy)

    heads = {path: _head(path) for by_class in files.values() for paths in by_class.values() for path in paths}
    bad = [path for path, head in heads.items() if head is None]
    if bad and not skip_unreadable:
        raise _unreadable(bad)
    if bad:
        notes.append(f"{len(bad)} unreadable files left out: {', '.join(map(str, bad[:SHOWN]))}{' ...' if len(bad) > SHOWN else ''}")
    good = [head for head in heads.values() if head is not None]
    if not good:
        raise _unreadable(bad)
    sizes = {head[:2] for head in good}
    parts = {}
    for split, by_class in files.items():
        paths = tuple(path for name in classes for path in by_class.get(name, ()) if heads[path] is not None)
        labels = np.array([k for k, name in enumerate(classes) for path in by_class.get(name, ()) if heads[path] is not None], np.int64)
        parts[split] = cache(partial(Part, labels, tuple(map(str, paths)), cache(partial(decode_all, paths))))
    channels = 1 if all(head[2] in GREY_MODES for head in good) else 3
    return DataSource(root.resolve().name, classes, channels, sizes.pop() if len(sizes) == 1 else None, parts, tuple(notes))


def _files_by_class(split: Path) -> dict[str, list[Path]]:
    folders = [path for path in split.iterdir() if path.is_dir() and not _ignored(path.name)]
    return {path.name: picture_files(path) for path in sorted(folders, key=lambda path: os.fsencode(path.name))}


def _unreadable(bad: list[Path]) -> DataError:
    """The error that names the files, with the reason of the first."""
    try:
        decode_image(bad[0])
        reason = ""
    except (DataError, OSError) as error:
        reason = f" ({error.message.partition(': ')[2] if isinstance(error, DataError) else error})"
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    count = "1 file" if len(bad) == 1 else f"{len(bad)} files"
    remedy = "Remove or repair them, or leave them out with --skip-unreadable."
    return DataError(f"{count} cannot be read as pictures: {', '.join(map(str, bad[:SHOWN]))}{more}{reason}", remedy)


def _head(path: Path) -> tuple[int, int, str] | None:
    """Height, width and mode of a picture that decodes whole, else None."""
    try:
        pixels = decode_image(path)
    except DataError:
        return None
    return (pixels.shape[0], pixels.shape[1], "L" if pixels.shape[2] == 1 else "RGB")


def decode_all(paths: Iterable[Path], spec: ImageSpec | None) -> np.ndarray:
    """All pictures as uint8 (N, H, W, C), decoded by several threads; as a memory map where they are large.

    Raises:
        DataError: without a spec, the pictures differ in size.
    """
    files = list(paths)
    if spec is None:
        arrays = [decode_image(path) for path in files]
        shapes = {array.shape for array in arrays}
        if len(shapes) != 1:
            raise DataError(f"the pictures have {len(shapes)} different sizes", "Give an --img-size.")
        return np.stack(arrays)
    packed = _array((len(files), spec.height, spec.width, spec.channels))
    with ThreadPoolExecutor() as pool:
        for index, pixels in enumerate(pool.map(lambda path: decode_image(path, spec), files)):
            packed[index] = pixels
    return packed


def _array(shape: tuple[int, ...]) -> np.ndarray:
    """Room for uint8 of `shape`: in memory, or in a nameless temporary file where that would take too much of it."""
    size = int(np.prod(shape, dtype=np.int64))
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        memory = 8 * 2**30
    if size <= memory * SHARE_OF_MEMORY:
        return np.empty(shape, np.uint8)
    return np.memmap(tempfile.TemporaryFile(), np.uint8, "w+", shape=shape)  # noqa: SIM115  # it lives as long as the map
