"""Opening data that may be wrong: as a training would, and where that refuses it, as far as it can be read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.data.decode import picture_header
from striate.data.folder import UNSEEN, Pictures, source_of_pictures
from striate.data.mask_files import Pair, class_names, mask_files
from striate.data.reading import Reading
from striate.data.sources import folder_of_masks, open_data

if TYPE_CHECKING:
    from striate.data.omissions import Ledger
    from striate.data.records import DataSource
    from striate.workflows.checking.record import CheckRequest

SAMPLE = 16  # files of a split whose size is looked at


class Opened(NamedTuple):
    """Data, and what a training says of it."""

    source: DataSource
    complaint: DataError | None  # what a training stops at
    hopeless: bool  # it would also if unreadable pictures were left out
    pairs: Mapping[str, Sequence[Pair]] | None = None  # of pictures with masks, in the order of the source


def opened(request: CheckRequest) -> Opened:
    """The data of a request; its pictures are not opened yet.

    Raises:
        DataError: there is nothing to look at.
        UsageError: it holds no pictures.
    """
    if request.task == "segment" and isinstance(request.data, str | os.PathLike) and Path(request.data).suffix.lower() != ".npz":
        root = folder_of_masks(request.data)
        found: dict[str, list[Pair]] = {}

        def masked(skip: bool, to_train: bool) -> DataSource:
            pairs, ledger, notes = mask_files(root, layout=request.layout, to_train=to_train)
            ledger.refuse_or_skip({}, skip=skip)
            found.update(pairs)
            return _pictures_of(root, pairs, ledger, notes)

        return _as_far_as_possible(masked)._replace(pairs=found)
    how: dict[str, Any] = {"data_dir": request.data_dir, "download": request.download, "layout": request.layout, "look_into": False}
    how |= {"task": request.task, "reading": Reading.of(request)}
    return _as_far_as_possible(lambda skip, to_train: open_data(request.data, skip_unreadable=skip, to_train=to_train, **how))


def _as_far_as_possible(open_it: Callable[[bool, bool], DataSource]) -> Opened:
    """The data as `open_it(skip_unreadable, to_train)` gives it the first time that it does not refuse it."""
    errors: list[DataError] = []
    for skip, to_train in ((False, True), (True, True), (True, False)):
        try:
            source = open_it(skip, to_train)
        except DataError as error:
            errors.append(error)
            continue
        if source.kind != "pictures":
            raise UsageError(f"{source.name}: has {source.kind}, and only pictures can be checked", "Give pictures.")
        return Opened(source, errors[0] if errors else None, not to_train)
    raise errors[0]


def _pictures_of(root: Path, pairs: Mapping[str, Sequence[Pair]], ledger: Ledger, notes: Sequence[str]) -> DataSource:
    """The pictures of pairs, none of which is opened."""
    splits = {
        split: Pictures(
            [pair.picture for pair in found],
            tuple(pair.picture.relative_to(root).as_posix() for pair in found),
            np.zeros((len(found), 0)),
        )
        for split, found in pairs.items()
    }
    headers = {pair.picture: UNSEEN for found in pairs.values() for pair in found}
    classes = class_names(root)
    return source_of_pictures(root.resolve().name, classes, splits, headers, ledger, notes, look_into=False, task="segment")


def typical_side(source: DataSource) -> int:
    """The median of the shorter sides of the pictures, from some of them; 1 if none of these can be read."""
    if source.image_size is not None:
        return min(source.image_size)
    sides = []
    for split in source.splits:
        part = source.parts[split]()
        files = part.files or ()
        for place in np.unique(np.linspace(0, len(files) - 1, min(len(files), SAMPLE)).astype(int)):
            with contextlib.suppress(DataError):
                header = picture_header(files[place])
                sides.append(min(header.height, header.width))
    return int(np.median(sides)) if sides else 1
