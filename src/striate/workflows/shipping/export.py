"""Export a trained model to a file that other programs run, and refuse to if its answers differ."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import NumericError, UsageError
from striate.core.files import make_folder, temporary_name, write_atomically
from striate.core.places import check_file
from striate.core.reports import shown_short, write_report
from striate.insight.export.forms import FORMS
from striate.insight.export.gate import Gate
from striate.insight.export.html_file import Precision
from striate.models.exported import ExportedModel
from striate.workflows.shipping.card import CARD, Card, card_of, card_text
from striate.workflows.shipping.words import file_facts, report_file
from striate.workflows.subjects.subject import LabelledRequest, open_model

NAME = "model"  # in RUN/export


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ExportRequest(LabelledRequest):
    """The model, the format, and the pictures to compare the answers on; by default those of the run's val split."""

    format: Literal["onnx", "html"] = "onnx"
    precision: Precision | None = None  # of the weights; the usual one of the format by default
    output: Path | None = None  # RUN/export/model.onnx, or .html, by default
    images: Annotated[int, Field(ge=1)] = 256  # at most so many of the val split
    max_difference: Annotated[float, Field(gt=0)] | None = None  # of a probability; by default 1e-4, and 0.02 of a page


@shown_short
@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """The file and what was found when it was compared; also written beside it as JSON."""

    model: str
    network: str
    format: str
    precision: str
    output: str
    size_bytes: int
    sha256: str
    gate: Gate
    card: Card  # also as text, in MODEL_CARD.md


def export(request: ExportRequest, *, say: Callable[[str], None] = lambda _text: None) -> ExportReport:
    """Write the model in a format, once the file's answers on real pictures were found to be the model's.

    The file is written under a temporary name, run in a process of its own that does not import torch, or in a browser, and compared on
    pictures of the val split as they lie in their files and on pictures of odd sizes and kinds, alone and in batches.

    Raises:
        UsageError: the network has no such form, the model was exported already, or no place to write to.
        NumericError: the answers differ by more than `max_difference`, or an answer differs; no file is written.
        EnvironmentFault: what exports is not installed, or the file cannot be written.
        DataError: the data has no val split, or its pictures cannot be read.
        RefusedFileError: the model file is damaged or not a model.
    """
    form = FORMS[request.format]
    precision = request.precision or form.precisions[0]
    if precision not in form.precisions:
        raise UsageError(f"{request.format} has no precision {precision}", f"It has {', '.join(form.precisions)}.")
    form.need()
    subject = open_model(request.run, device="cpu", module=request.module)
    model = subject.trained
    if isinstance(model, ExportedModel):
        raise UsageError(f"{subject.name}: is an exported file already", "Give the run that it comes from.")
    if len(model.network.output_shape) > 1:
        raise UsageError(f"{subject.name}: answers for each pixel or step, which is not exported yet", "Export a classifier.")
    run = subject.path if subject.path is not None and subject.path.is_dir() else None
    output = request.output or (run / "export" / f"{NAME}{form.ending}" if run is not None else None)
    if output is None:
        raise UsageError("no place for the exported file", f"Name a file: `output='{NAME}{form.ending}'`.")
    check_file(output, "output", (form.ending,), makes_folder=True)
    images = subject.pictures(request, "val", "export", say)
    pictures, names = _pictures(images, request.images)
    card = card_of(subject, images)
    say(f"exporting {model.network.name} to {request.format}")
    data = form.make(model, precision)
    make_folder(output.parent)
    candidate = temporary_name(output)
    try:
        candidate.write_bytes(data)
        found = form.gate(model, candidate, pictures, names, limit=request.max_difference or form.limit, precision=precision)
    finally:
        candidate.unlink(missing_ok=True)
    if not found.passed:
        asked = f", and it made {found.requests} requests" if found.requests else ""
        finer = "" if precision == "float32" else "Use `precision='float32'`. "
        raise NumericError(
            f"{output}: not written, because its answers are not those of {subject.name}: {found.agreement:.2%} of {found.num_images:,} "
            f"pictures agree, and probabilities differ by up to {found.max_difference:.2g}{asked}; worst: {'; '.join(found.worst)}",
            f"{finer}Allow a larger `max_difference`, or keep the run.",
        )
    write_atomically(output, data)
    report = ExportReport(
        model=subject.name,
        network=model.network.name,
        format=request.format,
        precision=precision,
        output=str(output),
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        gate=found,
        card=card,
    )
    write_report(report_file(output), report)
    write_atomically(output.with_name(CARD), card_text(card, output.name, file_facts(report)).encode())
    return report


def _pictures(images: Any, count: int) -> tuple[list[Path] | np.ndarray, list[str]]:
    """At most `count` of the pictures, evenly taken, and their names: as files where they are files, else as they are."""
    chosen = images.take(np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)))
    files = [Path(path) for path in chosen.paths]
    return (files if all(file.is_file() for file in files) else np.asarray(chosen.images)), list(chosen.paths)
