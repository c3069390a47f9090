"""`split.json` of a run folder: the pictures that the run trained on and held out; the model file carries a short form of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.core.bounded import read_json
from striate.core.errors import RefusedFileError
from striate.core.files import write_atomically
from striate.data.recorded import BriefRecord, SplitRecord
from striate.workflows.runs.folder import RunFolder

MOST_BYTES = 2**28
INFO = "split"  # of a model file's info
REMEDY = "Copy the run folder again from where it was trained; or give the model file alone, which records the pictures that were held out."

NOT_RECORDED = (
    "the run does not record which pictures it held out, as it is of an older version: they are derived again from the names of the "
    "pictures, which is exact only if the data has not changed since"
)


def write_record(folder: Path, record: SplitRecord) -> None:
    """Write the record into a run folder."""
    write_atomically(RunFolder(folder).split, (json.dumps(record.to_data(), indent=1) + "\n").encode())


def read_record(folder: Path) -> SplitRecord | None:
    """The record of a run folder; None of a run that an older version wrote.

    Raises:
        RefusedFileError: it is damaged; names the file.
    """
    path = RunFolder(folder).split
    if not path.exists():
        return None
    try:
        return SplitRecord.from_data(read_json(path, limit=MOST_BYTES, remedy=REMEDY))
    except RefusedFileError as error:
        raise RefusedFileError(f"{path}: {error.message.removeprefix(f'{path}: ')}", REMEDY) from None


def record_of(run: Path | None, info: Mapping[str, Any]) -> SplitRecord | BriefRecord | None:
    """The record of the pictures that a model was trained on: the full one in its run folder, else that of its file.

    Args:
        run: The run folder, where there is one.
        info: Of the model.

    Raises:
        RefusedFileError: the record of the folder is damaged, or not that of the model.
    """
    brief = BriefRecord.from_data(info[INFO]) if INFO in info else None
    whole = read_record(run) if run is not None else None
    if whole is None:
        return brief
    if brief is not None and whole.brief() != brief:
        raise RefusedFileError(f"{RunFolder(run or Path()).split}: records other pictures than the model was trained on", REMEDY)
    return whole
