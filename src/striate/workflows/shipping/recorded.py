"""The facts that stand in an exported file, and its papers: its report, its card and its bill of materials beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.bounded import MAX_TEXT_BYTES, read_json
from striate.core.errors import RefusedFileError
from striate.core.files import read_plain, write_atomically
from striate.core.refusals import checked_entry
from striate.core.reports import write_report
from striate.insight.export.forms import HTML
from striate.insight.export.html_file import plan_in
from striate.insight.export.wanted import Precision
from striate.models.exported import ExportedModel
from striate.workflows.shipping.bom import bom_text
from striate.workflows.shipping.card import CARD, card_text
from striate.workflows.shipping.words import BOM, file_facts, report_file

if TYPE_CHECKING:
    from striate.workflows.shipping.export import ExportReport

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


def told_by(artefact: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes, and the facts, that stand in a file.

    Raises:
        RefusedFileError: its hashes are not those of what it holds.
    """
    if artefact.suffix.lower() == HTML:
        plan = plan_in(artefact)
        return tuple(plan["classes"]), dict(plan["facts"])
    model = ExportedModel(artefact)
    return model.classes, model.facts


def papers_of(report: ExportReport, stem: str, files: Mapping[str, bytes], needs: Sequence[str]) -> dict[str, bytes]:
    """The card and the bill of materials of the files of that name, by their endings; the one that is named, last."""
    hashes = {f"{stem}{ending}": digest for ending, digest in digests(files).items()}
    name = list(hashes)[-1]
    return {CARD: card_text(report.card, name, file_facts(report)).encode(), BOM: bom_text(report.card, name, hashes, needs)}


def write_papers(report: ExportReport, papers: Mapping[str, bytes]) -> ExportReport:
    """The report with the hashes of its papers, once all of them stand beside the file."""
    found, output = replace(report, papers=digests(papers)), Path(report.output)
    write_report(report_file(output), found)
    for name, data in papers.items():
        write_atomically(output.with_name(name), data)
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
