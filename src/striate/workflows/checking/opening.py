"""Opening data that may be wrong: as a training would, and where that refuses it, as far as it can be read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.data.decode import picture_header
from striate.data.sources import open_data

if TYPE_CHECKING:
    from striate.data.records import DataSource
    from striate.workflows.checking.record import CheckRequest

SAMPLE = 16  # files of a split whose size is looked at


class Opened(NamedTuple):
    """Data, and what a training says of it."""

    source: DataSource
    complaint: DataError | None  # what a training stops at
    hopeless: bool  # it would also if unreadable pictures were left out


def opened(request: CheckRequest) -> Opened:
    """The data of a request; its pictures are not opened yet.

    Raises:
        DataError: there is nothing to look at.
        UsageError: it holds no pictures.
    """
    how: dict[str, Any] = {"data_dir": request.data_dir, "download": request.download, "layout": request.layout, "look_into": False}
    errors: list[DataError] = []
    for skip, to_train in ((False, True), (True, True), (True, False)):
        try:
            source = open_data(request.data, skip_unreadable=skip, to_train=to_train, **how)
        except DataError as error:
            errors.append(error)
            continue
        if source.kind != "pictures":
            raise UsageError(f"{source.name}: has {source.kind}, and only pictures can be checked", "Give pictures.")
        return Opened(source, errors[0] if errors else None, not to_train)
    raise errors[0]


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
