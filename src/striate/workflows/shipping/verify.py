"""Verify an exported file: that it is the one that was written, and that it still answers as its run on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.bounded import read_json
from striate.core.errors import RefusedFileError, UsageError
from striate.core.files import read_plain
from striate.core.reports import shown_short
from striate.core.text import Lines, in_lines
from striate.insight.export.forms import FORMS
from striate.insight.export.gate import Gate
from striate.models.exported import MAX_BYTES, ExportedModel
from striate.models.runtimes import ENDINGS
from striate.workflows.shipping.judging import refuse_other_answers
from striate.workflows.shipping.pictures import compared_pictures
from striate.workflows.shipping.signing import check_signature
from striate.workflows.shipping.words import report_file
from striate.workflows.subjects.labelled import DataRequest
from striate.workflows.subjects.subject import open_model

AGAIN = "Copy the file again, or export it again."


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class VerifyRequest(DataRequest):
    """The file, and the run that it comes from."""

    file: Path
    run: Any = None  # None: the run that the report beside the file names, where it is there
    images: Annotated[int, Field(ge=1)] = 256  # of the val split, at most
    key: Path | None = None  # a public key, whose owner must have signed the file


@shown_short
@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """The findings about a file that was not refused."""

    file: str
    sha256: str
    recorded: bool  # that SHA-256 stands in the report beside the file
    facts: dict[str, str]  # in the file itself
    run: str | None  # whose answers were compared
    gate: Gate | None
    signed: bool = False  # by the owner of the key that was given


def verify(request: VerifyRequest, *, say: Callable[[str], None] = lambda _text: None) -> VerifyReport:
    """Compare an exported file with its own hashes, with the report beside it, and with the answers of its run.

    Raises:
        UsageError: no exported file, or `key` is no public key.
        RefusedFileError: the file was changed since it was written, is not signed by the owner of the key, or is another one than its
            report tells of.
        NumericError: its answers on this machine are not those of the run.
    """
    path = request.file
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"{path}: only exported files are verified, with the endings {', '.join(ENDINGS)}", "Give one that `striate export` wrote."
        )
    if request.key is not None:
        check_signature(path, request.key)
    signed, model = request.key is not None, ExportedModel(path)
    digest = hashlib.sha256(read_plain(path, limit=MAX_BYTES)).hexdigest()
    beside = report_file(path)
    record = read_json(beside, remedy=AGAIN) if beside.is_file() else None
    form = next(form for form in FORMS.values() if form.ending == path.suffix.lower())
    precision = (record or {}).get("precision", "float32")
    if precision not in form.limits:
        raise RefusedFileError(f"{beside}: precision: there is none called {precision!r}", AGAIN)
    if record is not None and record.get("sha256") != digest:
        raise RefusedFileError(f"{path}: is not the file that {beside.name} tells of: its SHA-256 is {digest}", AGAIN)
    if record is None:
        say(f"{path}: no {beside.name} stands beside it; its own hashes are right")
    run = request.run or (record or {}).get("model")
    if run is None or (request.run is None and not Path(str(run)).exists()):
        say("the run that it comes from is not here: its answers were not compared; name it with `run`")
        return VerifyReport(
            file=str(path), sha256=digest, recorded=record is not None, facts=model.facts, run=None, gate=None, signed=signed
        )
    subject = open_model(run, device="cpu", module=request.module)
    if subject.trained.classes != model.classes:
        raise UsageError(f"{subject.name}: has other classes than {path}", "Name the run that the file comes from.")
    images = subject.pictures(request, "val", "verify", say)
    pictures, names = compared_pictures(subject.trained, images, request.images)
    found = form.gate(subject.trained, path, pictures, names, limit=form.limits[precision], precision=precision)
    refuse_other_answers(found, path, subject.name, precision, written=True)
    return VerifyReport(
        file=str(path), sha256=digest, recorded=record is not None, facts=model.facts, run=subject.name, gate=found, signed=signed
    )


def summary(report: VerifyReport) -> Lines:
    """The report as text."""
    lines = [f"{report.file}: unchanged since it was written, SHA-256 {report.sha256}"]
    if report.signed:
        lines.append("signed by the owner of the key")
    if report.gate is not None:
        found = report.gate
        lines.append(f"{found.agreement:.2%} of the answers of {report.run} for {found.num_images:,} pictures on this machine")
        lines.append(f"largest difference of a probability {found.max_difference:.1g}")
    lines += [f"{name}: {value}" for name, value in report.facts.items() if name not in ("classes", "preprocessing")]
    return in_lines([*lines, ""])
