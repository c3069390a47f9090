"""Folders of pictures with the pictures that a network is to make of them, or of pictures whose inputs an effect makes.

A folder holds `root/{input,target}/*`, or `root/{train,val,test}/{input,target}/*`; both have the same name, whatever their formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from striate.core.errors import DataError
from striate.data.decode import PictureHeader, decode_image
from striate.data.dropped import DropList, without_listed
from striate.data.folder import in_threads, known_header, whole_header
from striate.data.identities import file_digests
from striate.data.input_effects import InputEffect
from striate.data.layout import Layers, Layout, folders_of_splits
from striate.data.listing import leave_out_top, pictures_below, subfolders_of
from striate.data.omissions import NO_SIDE, Ledger, count_of, no_pictures, some, unreadable
from striate.data.pairs import (
    PairSource,
    Read,
    channel_names,
    input_size,
    no_images,
    refuse_without_colours,
    scale_of,
    size_error,
    without_labels,
)
from striate.data.records import SPLITS, Part

INPUT, TARGET = "input", "target"  # the folders
PAIRS = "Give each picture of input/ one of the same name in target/."


class Files(NamedTuple):
    """A target, and its input unless that is made of it."""

    target: Path
    input: Path | None


def open_pairs(
    root: Path,
    effect: InputEffect | None = None,
    *,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    to_train: bool = True,
    drop: DropList | None = None,
) -> PairSource:
    """The pairs of a folder; with an effect all pictures below it, or below its splits; without those of which `drop` lists a file.

    The files are only looked into here, with `skip_unreadable` decoded.

    Raises:
        DataError: no pictures, pictures without a partner, targets of another size, grey ones where colours are to be learned, or a file
            that cannot be read; names them.
    """
    ledger = Ledger()
    whole = Layers({"train": root}, [])
    is_whole = effect is None and (root / INPUT).is_dir()
    inside = f"{{{INPUT},{TARGET}}}"
    if effect is None:
        folders, notes = whole if is_whole else folders_of_splits(root, ledger, layout=layout, inside=inside, to_train=to_train)
    else:
        folders, notes = _folders_of_pictures(root, layout)
    listing = _paired if effect is None else _alone
    files, dropped = without_listed(drop, root, {split: listing(folder, ledger) for split, folder in folders.items()}, ledger)
    files = {split: found for split, found in files.items() if found}
    first = "train" if to_train else next(iter(files), "train")
    if first not in files and not ledger.unreadable:
        where = folders.get(first, root)
        if effect is not None:
            raise no_pictures(str(where), ledger, f"Put some in {where}/")
        remedy = f"Put pictures in {where / INPUT}/ and what is to become of them, by the same names, in {TARGET}/ beside it."
        raise DataError(f"{where}: no pictures in {INPUT}/", f"{remedy} To make inputs of any pictures: `input_effect='noise:25'`.")
    every = [path for found in files.values() for pair in found for path in pair if path is not None]
    headers, bad = in_threads(whole_header if skip_unreadable else known_header, every)
    everything = {**ledger.unreadable, **bad}
    ledger.refuse_or_skip(bad, skip=skip_unreadable)
    files = {split: [pair for pair in found if all(path is None or path in headers for path in pair)] for split, found in files.items()}
    files = {split: found for split, found in files.items() if found}
    if first not in files:
        raise unreadable(everything, "; no pictures are left")
    left_out = ledger.omissions()
    scale = effect.scale if effect is not None else _scale_of_files(files, headers)
    targets = max(headers[pair.target].channels for found in files.values() for pair in found)
    refuse_without_colours(str(root), targets, effect)
    sides = {path for found in files.values() for pair in found if (path := pair.input if effect is None else pair.target) is not None}
    sizes = {(headers[path].height, headers[path].width) for path in sides}
    return PairSource(
        root.resolve().name,
        channel_names(targets),
        effect.channels(targets) if effect is not None else max(headers[path].channels for path in sides),
        input_size(sizes, effect),
        parts={split: partial(_part_of_files, root, tuple(found)) for split, found in files.items()},
        notes=(*notes, *dropped, *(omission.words for omission in left_out)),
        left_out=left_out,
        pairs={split: partial(_files_reader, tuple(found)) for split, found in files.items()},
        scale=scale,
        effect=effect,
    )


def _folders_of_pictures(root: Path, layout: Layout) -> Layers:
    """The folders of splits where they are called plainly so, with or without folders of classes in them; else the folder itself."""
    named = {path.name: path for path in subfolders_of(root) if path.name in SPLITS}
    if layout == "classes" or "train" not in named:
        return Layers({"train": root}, [])
    return Layers({split: named[split] for split in SPLITS if split in named}, [])


def _paired(folder: Path, ledger: Ledger) -> list[Files]:
    """The pictures of input/ with those of target/.

    Raises:
        DataError: some have no partner; counts and names them.
    """
    leave_out_top(folder, ledger, NO_SIDE)
    for path in subfolders_of(folder):
        if path.name not in (INPUT, TARGET):
            ledger.leave_out(NO_SIDE, pictures_below(path, Ledger()))
    sides = []
    for name in (INPUT, TARGET):
        found: dict[Path, Path] = {}
        for path in pictures_below(folder / name, ledger) if (folder / name).is_dir() else []:
            key = path.relative_to(folder / name).with_suffix("")
            if key in found:
                raise DataError(f"{found[key]} and {path.name} have one name but for their endings", "Rename one of them, and its partner.")
            found[key] = path
        sides.append(found)
    inputs, targets = sides
    lonely = [path for key, path in inputs.items() if key not in targets], [path for key, path in targets.items() if key not in inputs]
    for paths, other in zip(lonely, (TARGET, INPUT), strict=True):
        if paths:
            names = some([path.relative_to(folder) for path in paths])
            raise DataError(f"{folder}: {count_of(paths, 'picture')} without a partner in {other}/: {names}", PAIRS)
    return [Files(targets[key], path) for key, path in inputs.items()]


def _alone(folder: Path, ledger: Ledger) -> list[Files]:
    return [Files(path, None) for path in pictures_below(folder, ledger)]


def _scale_of_files(files: Mapping[str, Sequence[Files]], headers: Mapping[Path, PictureHeader]) -> int:
    """The factor of all pairs.

    Raises:
        DataError: it is no whole number, or not the same for all; names the pair.
    """
    scale = None
    for target, given in (pair for found in files.values() for pair in found):
        if given is None:
            continue
        small, large = ((headers[path].height, headers[path].width) for path in (given, target))
        scale = scale or scale_of(small, large, str(target))
        if large != (scale * small[0], scale * small[1]):
            raise size_error(f"{target}:", small, large, scale)
    return scale or 1


def _part_of_files(root: Path, files: Sequence[Files]) -> Part:
    shown = [pair.input or pair.target for pair in files]
    paths, names = tuple(map(str, shown)), tuple(path.relative_to(root).as_posix() for path in shown)
    return Part(without_labels(len(files)), paths, no_images, names, partial(file_digests, shown))


def _files_reader(files: Sequence[Files]) -> Read:
    return lambda place: (decode_image(files[place].target), decode_image(given) if (given := files[place].input) is not None else None)
