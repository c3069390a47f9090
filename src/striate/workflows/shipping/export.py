"""Export a trained model to a file that other programs run, and refuse to if its answers differ."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import folder_beside, make_folder, write_atomically
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.insight.export.forms import FORMS
from striate.insight.export.gate import Gate
from striate.insight.export.wanted import Format, Input, Precision, Wanted
from striate.workflows.shipping.card import CARD, Card, card_of
from striate.workflows.shipping.judging import AccuracyKept, accuracy_kept, refuse_other_answers
from striate.workflows.shipping.pictures import compared_pictures, some_of
from striate.workflows.shipping.recorded import papers_of, write_papers
from striate.workflows.shipping.refusals import refuse_other_forms, refuse_other_models
from striate.workflows.shipping.signing import sign, signature_bytes, signature_of, signer
from striate.workflows.shipping.words import BOM, bom_file, facts_of
from striate.workflows.subjects.subject import LabelledRequest, open_model

NAME = "model"  # in RUN/export
CALIBRATED = 256  # pictures of the training split that the ranges of int8 are found on


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ExportRequest(LabelledRequest):
    """The model, the format, and the pictures to compare the answers on; by default those of the run's val split."""

    format: Format = "onnx"
    precision: Precision | None = None  # of the weights; the usual one of the format by default
    input: Input = "uint8"  # pictures as they are decoded; float32: (N, C, H, W) in [0, 1], prepared by who uses the file
    output: Path | None = None  # RUN/export/model.onnx, or of another ending, by default
    images: Annotated[int, Field(ge=1)] = 256  # at most so many of the val split
    max_difference: Annotated[float, Field(gt=0)] | None = None  # of a probability; by default 1e-4 in float32, and 0.02 of a page
    max_loss: Annotated[float, Field(ge=0, le=1)] = 0.01  # of accuracy on val, where int8 costs some
    sign: Path | None = None  # a private key, with which the file is signed


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
    card: Card  # also as text, in MODEL_CARD.md, and as a bill of materials
    input: str = "uint8"
    accuracy: AccuracyKept | None = None  # of int8
    papers: dict[str, str] = field(default_factory=dict)  # the SHA-256 of the card and the bill of materials, by their names


def export(request: ExportRequest, *, say: Callable[[str], None] = lambda _text: None) -> ExportReport:
    """Write the model in a format, once the file's answers on real pictures were found to be the model's.

    The file is written under a temporary name, run in a process of its own that does not import torch, or in a browser, and compared on
    pictures of the val split as they lie in their files and on pictures of odd sizes and kinds, alone and in batches.

    Raises:
        UsageError: the network has no such form, the model was exported already, no place to write to, or `sign` is no key.
        NumericError: the answers differ by more than `max_difference`, or an answer differs; no file is written.
        EnvironmentFault: what exports or signs is not installed, or the file cannot be written.
        DataError: the data has no val split, or its pictures cannot be read.
        RefusedFileError: the model file is damaged or not a model.
    """
    form = FORMS[request.format]
    precision = request.precision or form.usual
    refuse_other_forms(request, form, precision)
    form.need()
    signing = signer(request.sign) if request.sign is not None else None
    subject = open_model(request.run, device="cpu", module=request.module)
    model = subject.trained
    refuse_other_models(subject, form, precision)
    run = subject.path if subject.path is not None and subject.path.is_dir() else None
    output = request.output or (run / "export" / f"{NAME}{form.ending}" if run is not None else None)
    if output is None:
        raise UsageError("no place for the exported file", f"Name a file: `output='{NAME}{form.ending}'`.")
    check_file(output, "output", (form.ending,), makes_folder=True)
    images = subject.pictures(request, "val", "export", say)
    training = None
    if precision == "int8" and precision in form.by_accuracy:
        training = np.asarray(some_of(subject.pictures(request, "train", "export", say, CALIBRATED), CALIBRATED).images)
    pictures, names = compared_pictures(model, images, request.images)
    card = card_of(subject, images)
    say(f"exporting {model.network.name} to {request.format}")
    files = form.make(model, Wanted(precision=precision, input=request.input, training=training, facts=facts_of(card, run)))
    make_folder(output.parent)
    kept = None
    with folder_beside(output) as folder:
        ending = list(files)[-1]
        candidate = folder / f"{output.stem}{ending}"
        for each, data in files.items():
            write_atomically(candidate.with_suffix(each), data)
        limit = request.max_difference or form.limits[precision]
        found = form.gate(model, candidate, pictures, names, limit=limit, precision=precision)
        if precision in form.by_accuracy:
            kept = accuracy_kept(model, candidate, images, precision)
        refuse_other_answers(found, output, subject.name, precision)
        if kept is not None:
            kept.refuse(output, request.max_loss, precision)
        report = ExportReport(
            model=subject.name,
            network=model.network.name,
            format=request.format,
            precision=precision,
            output=str(output),
            size_bytes=sum(map(len, files.values())),
            sha256=hashlib.sha256(files[ending]).hexdigest(),
            gate=found,
            card=card,
            input=request.input,
            accuracy=kept,
        )
        papers = papers_of(report, NAME if form.pack is not None else output.stem, files, form.needs)
        if form.pack is not None:
            packed = form.pack(files[ending], papers, partial(signature_bytes, folder, signing) if signing is not None else None)
            files = {form.ending: packed}
            write_atomically(candidate.with_suffix(form.ending), packed)
            report = replace(report, size_bytes=len(packed), sha256=hashlib.sha256(packed).hexdigest())
        signature = sign(candidate.with_suffix(form.ending), signing) if signing is not None else None
        signature_of(output).unlink(missing_ok=True)  # of the file that was there before
        for each in files:
            candidate.with_suffix(each).replace(output if each == form.ending else output.with_suffix(each))
        if signature is not None:
            say(f"signature: {signature.replace(signature_of(output))}")
    return write_papers(report, {CARD: papers[CARD], bom_file(output).name: papers[BOM]})
