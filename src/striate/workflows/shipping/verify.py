"""Verify an exported file: that it is the one that was written, and that it still answers as its run on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import RefusedFileError, UsageError
from striate.core.files import read_plain
from striate.core.reports import shown_short
from striate.core.text import Lines, in_lines
from striate.insight.export.bundle_file import MODEL, SUMS, ZIP, is_bundle, parts_of_bundle
from striate.insight.export.forms import FORMS, HTML
from striate.insight.export.gate import Gate
from striate.insight.export.wanted import Format
from striate.models.exported import MAX_BYTES
from striate.models.runtimes import ENDINGS
from striate.workflows.shipping.judging import refuse_other_answers
from striate.workflows.shipping.pictures import compared_pictures
from striate.workflows.shipping.recorded import AGAIN, check_papers, recorded, told_by
from striate.workflows.shipping.signing import check_signature
from striate.workflows.shipping.words import report_file
from striate.workflows.subjects.labelled import DataRequest
from striate.workflows.subjects.subject import open_model


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class VerifyRequest(DataRequest):
    """The file, and the run that it comes from."""

    file: Path  # or the folder of an unpacked bundle
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
    bundled = is_bundle(path)
    if not bundled and path.suffix.lower() not in (*ENDINGS, HTML):
        raise UsageError(
            f"{path}: only exported files are verified, with the endings {', '.join((*ENDINGS, HTML, ZIP))}, and unpacked bundles",
            "Give one that `striate export` wrote.",
        )
    listed = path / SUMS if path.is_dir() else path  # what is signed
    if request.key is not None:
        check_signature(listed, request.key)
    digest = hashlib.sha256(read_plain(listed, limit=MAX_BYTES)).hexdigest()
    with _answering(path) if bundled else contextlib.nullcontext(path) as artefact:
        return _verified(request, artefact, digest, "bundle" if bundled else None, say)


@contextlib.contextmanager
def _answering(bundle: Path) -> Iterator[Path]:
    """The ONNX file of a bundle, all of whose files are as they were."""
    parts = parts_of_bundle(bundle)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MODEL
        file.write_bytes(parts[MODEL])
        yield file


def _verified(request: VerifyRequest, artefact: Path, digest: str, kind: Format | None, say: Callable[[str], None]) -> VerifyReport:
    """The findings about a file whose signature was checked; `artefact` answers for it, and `digest` is its SHA-256."""
    path, beside = request.file, report_file(request.file)
    classes, facts = told_by(artefact)
    record = recorded(beside) if not path.is_dir() else None
    form = FORMS[kind] if kind is not None else next(form for form in FORMS.values() if form.ending == path.suffix.lower())
    if record is not None:
        if record.precision not in form.limits:
            raise RefusedFileError(f"{beside}: precision: {record.precision!r} is none of this format", AGAIN)
        if record.sha256 != digest:
            raise RefusedFileError(f"{path}: is not the file that {beside.name} tells of: its SHA-256 is {digest}", AGAIN)
        told = digest if artefact == path else hashlib.sha256(artefact.read_bytes()).hexdigest()
        check_papers(path, record, told, say)
    else:
        own = (
            "only its weights have a hash in the page itself, and are right" if path.suffix.lower() == HTML else "its own hashes are right"
        )
        say(f"{path}: no report of its export stands beside it; {own}")
    report = VerifyReport(
        file=str(path), sha256=digest, recorded=record is not None, facts=facts, run=None, gate=None, signed=request.key is not None
    )
    run = request.run or (record.model if record is not None else None)
    if run is None or (request.run is None and not Path(str(run)).exists()):
        say("the run that it comes from is not here: its answers were not compared; name it with `run`")
        return report
    subject = open_model(run, device="cpu", module=request.module)
    if subject.trained.classes != classes:
        raise UsageError(f"{subject.name}: has other classes than {path}", "Name the run that the file comes from.")
    images = subject.pictures(request, "val", "verify", say)
    pictures, names = compared_pictures(subject.trained, images, request.images)
    precision = record.precision if record is not None else "float32"
    limit = record.gate.limit if record is not None else form.limits[precision]
    found = form.gate(subject.trained, artefact, pictures, names, limit=limit, precision=precision)
    refuse_other_answers(found, path, subject.name, precision, written=True)
    return replace(report, run=subject.name, gate=found)


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
