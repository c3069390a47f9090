"""The number of times a run's test split was used. A test set that is used often is a validation set."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.files import cannot_write
from striate.core.text import json_text
from striate.data.identities import picture_digests
from striate.workflows.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.data.records import ImageSet


def count_opening(run: Path, verb: str, images: ImageSet) -> int:
    """Note that `verb` opened the test pictures `images` for the model of `run`; how many times these were opened for it by now.

    Pictures are told by their pixels, in any order; in lines of older versions, which have no digest, by the name of the data.

    Raises:
        EnvironmentFault: the run folder cannot be written.
        RefusedFileError: the list of openings is damaged.
    """
    import os

    folder = RunFolder(run)
    before = folder.read_openings()
    pictures = hashlib.sha256(b"".join(sorted(picture_digests(images.images)))).hexdigest()[:16]
    record = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "verb": verb, "data": images.name, "pictures": pictures}
    try:
        with folder.openings.open("a", encoding="utf-8") as lines:
            lines.write(json_text(record) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise cannot_write(folder.openings, error) from error
    return _same(before, record) + 1


def openings_of(run: Path, data: str) -> int:
    """The number of times that the test pictures of the data `data` were used for the model of `run`, as of the last time.

    Raises:
        RefusedFileError: the list of openings is damaged.
    """
    openings = RunFolder(run).read_openings()
    last = next((opening for opening in reversed(openings) if opening.get("data") == data), None)
    return 0 if last is None else _same(openings, last)


def _same(openings: list[dict[str, Any]], one: dict[str, Any]) -> int:
    """The number of `openings` of the pictures of `one`."""
    pictures, data = one.get("pictures"), one.get("data")
    return sum(opening["pictures"] == pictures if "pictures" in opening else opening.get("data") == data for opening in openings)


def say_opening(count: int, say: Callable[[str], None]) -> None:
    """Remind the user, from the second use on."""
    if count > 1:
        say(f"test: used {count} times by now; select models on val, or the test result becomes optimistic")
