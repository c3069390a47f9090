"""What the report beside an exported file says of it, and the card and the bill of materials that were written with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.bounded import MAX_TEXT_BYTES, read_json
from striate.core.errors import RefusedFileError
from striate.core.files import read_plain
from striate.core.refusals import checked_entry
from striate.insight.export.wanted import Precision

AGAIN = "Copy the file again, or export it again."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limit that the file was held to."""

    limit: Annotated[float, Field(gt=0)]  # of a difference of probabilities


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The fields of an export's report that a file is verified by."""

    model: str
    precision: Precision
    sha256: str
    gate: Limits
    papers: dict[str, str] = Field(default_factory=dict)  # the SHA-256 of the card and the bill of materials, by their names


def recorded(beside: Path) -> Recorded | None:
    """The report beside a file; None where there is none.

    Raises:
        RefusedFileError: it is no such report.
    """
    if not beside.is_file():
        return None
    found: Recorded = checked_entry(TypeAdapter(Recorded), read_json(beside, remedy=AGAIN), str(beside), AGAIN)
    return found


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each file by its name."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def check_papers(file: Path, found: Recorded, digest: str, say: Callable[[str], None]) -> None:
    """Refuse a card or a bill of materials that was changed since it was written with the file.

    Args:
        file: The exported file.
        found: The report beside it.
        digest: The SHA-256 that the papers name, by which those of another export in the same folder are known.
        say: Hears of a paper that is missing, or of another file.

    Raises:
        RefusedFileError: one was changed; names it.
    """
    for name, wanted in found.papers.items():
        paper = file.with_name(Path(name).name)
        if not paper.is_file():
            say(f"{paper}: is not there")
            continue
        data = read_plain(paper, limit=MAX_TEXT_BYTES, remedy=AGAIN)
        if hashlib.sha256(data).hexdigest() == wanted:
            continue
        if digest.encode() in data:
            raise RefusedFileError(f"{paper}: was changed since it was written with {file.name}", AGAIN)
        say(f"{paper}: tells of another file")
