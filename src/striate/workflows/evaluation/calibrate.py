"""Calibrate a trained classifier: its temperature, the reliability of its confidence, and a threshold for the answer "unknown"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.calibration import UNKNOWN, Calibration, Score, scores_of
from striate.core.errors import UsageError
from striate.core.images import Kind, of_kind
from striate.core.intervals import share_in_words
from striate.core.reports import shown_short, write_files
from striate.core.text import Lines, in_lines
from striate.insight.calibrate.abstain import CoveragePoint, abstention, coverage_curve
from striate.insight.calibrate.evidence import ENOUGH, Temperature, held_back_temperature, refuse_few
from striate.models.exported import ExportedModel
from striate.workflows.evaluation.reliability import Reliability, reliability_picture, worth
from striate.workflows.evaluation.strangers import OutOfDistribution, strangers
from striate.workflows.subjects.subject import LabelledRequest, open_model

NAME = "calibrated.safetensors"  # of a run folder
SCORES_IN_WORDS = {  # for display
    "energy": "strength of the evidence for any class",
    "confidence": "probability of the answer",
    "max_logit": "largest score of a class",
}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class CalibrateRequest(LabelledRequest):
    """The model and the pictures; the val split is used, never the test split."""

    coverage: Annotated[float, Field(gt=0, le=1)] | None = None  # answer this share of pictures like those of val, the others "unknown"
    score: Score = "energy"
    against: Any = None  # pictures unlike any class, to see how well they are told apart
    batch_size: int = 128
    output: Path | None = None  # the model file; RUN/calibrated.safetensors by default


@shown_short
@dataclass(frozen=True, kw_only=True)
class CalibrateReport:
    """The results on the val split, and the file that holds them."""

    model: str
    data: str
    num_images: int
    accuracy: float
    before: Reliability
    after: Reliability  # on the pictures that the temperature was fitted to: one number, so hardly too good
    fitted: Temperature  # what the temperature rests on
    score: str
    threshold: float | None = None
    coverage: float | None = None  # share of val that is answered
    coverage_interval: tuple[float, float] | None = None  # 95 %, of other pictures like them
    accuracy_answered: float | None = None
    curve: list[CoveragePoint]
    against: OutOfDistribution | None
    output: str | None  # None: of an exported file, which stays as it is
    picture: str | None
    kind: Kind | None = None  # of samples that are no pictures


def calibrate(request: CalibrateRequest, *, say: Callable[[str], None] = lambda _text: None) -> CalibrateReport:
    """Fit the temperature on the val split, choose the threshold, and write a model file that holds both.

    The model file that was read stays as it is; of an exported file the findings are reported, and nothing is written.

    Raises:
        UsageError: a model that gives no single class, no place to write to, or no data.
        DataError: no val split, unreadable pictures, classes that the model does not know, or too few pictures for the coverage.
        RefusedFileError: the model file is damaged or not a model.
    """
    subject = open_model(request.run, device=request.device, module=request.module)
    model = subject.classifier(f"{subject.name}: does not give one class per picture, and has no temperature", "Calibrate a classifier.")
    if request.coverage is not None and UNKNOWN in model.classes:
        raise UsageError(f"{subject.name}: has a class {UNKNOWN!r} already, so that answer would be ambiguous", "Leave `coverage` out.")
    run = subject.path if subject.path is not None and subject.path.is_dir() else None
    exported = isinstance(model, ExportedModel)
    if exported and request.output is not None:
        raise UsageError(f"`output`: {subject.name} is an exported file, which is read only", "Calibrate its run, and export that again.")
    output = None if exported else subject.model_file(NAME, "calibrated model", request.output)
    images = subject.pictures(request, "val", "calibrate", say)
    if request.coverage is not None:
        refuse_few(len(images), request.coverage)
    logits, labels = model.outputs(images.images, batch_size=request.batch_size), images.labels
    fitted = held_back_temperature(logits, labels)
    scores, correct = scores_of(logits, request.score, fitted.value), logits.argmax(1) == labels
    answered = abstention(scores, correct, request.coverage) if request.coverage is not None else None
    found = Calibration(temperature=fitted.value, score=request.score, threshold=answered.threshold if answered else None)
    against = None if request.against is None else strangers(request, model, logits, found, say)
    if output is not None:
        model.calibrated(found).save(output)
    report = CalibrateReport(
        model=subject.name,
        data=images.name,
        num_images=len(images),
        accuracy=float(correct.mean()),
        before=worth(logits, labels, model.classes, 1.0),
        after=worth(logits, labels, model.classes, fitted.value),
        fitted=fitted,
        score=request.score,
        **(answered._asdict() if answered else {}),
        curve=coverage_curve(scores, correct),
        against=against,
        output=str(output) if output is not None else None,
        picture=str(run / "report" / "calibrate" / "reliability.png") if run is not None else None,
        kind=None if images.kind == "pictures" else images.kind,
    )
    if run is not None:
        picture = reliability_picture(report.before, report.after, report.curve)
        write_files(run / "report" / "calibrate", {"calibration.json": report, "reliability.png": picture})
    return report


def summary(report: CalibrateReport) -> Lines:
    """The report as text."""
    low, high = report.fitted.interval
    few = f"; {report.fitted.num_images:,} pictures are few: give {ENOUGH} or more" if report.fitted.is_uncertain else ""
    accuracy = share_in_words(report.accuracy, report.num_images)
    lines = [
        f"{report.model} on {report.data}, val split: {report.num_images:,} pictures, accuracy {accuracy}",
        f"temperature {report.after.temperature:.4f} (95 % interval {low:.2f} to {high:.2f}{few})",
        f"expected calibration error {report.before.ece:.4f} -> {report.after.ece:.4f}",
        f"log loss {report.before.log_loss:.4f} -> {report.after.log_loss:.4f} nats",
    ]
    if report.threshold is not None:
        lines.append(f"answers {report.coverage:.1%} of them, {report.accuracy_answered:.4f} correctly; the others are {UNKNOWN!r}")
        low, high = report.coverage_interval or (0.0, 1.0)
        lines.append(f"of other pictures like them, {low:.0%} to {high:.0%} would be answered (95 % interval)")
        score = f"{report.score} score ({SCORES_IN_WORDS[report.score]})"
        lines.append(f"threshold {report.threshold:.4f} of the {score}; below it the answer is unknown")
    if report.against:
        areas = ", ".join(f"{score} {area:.4f}" for score, area in report.against.auroc.items())
        lines.append(f"against {report.against.num_images:,} pictures of {report.against.data}: AUROC by {areas}")
        if report.against.answered is not None:
            lines.append(f"of those, {report.against.answered:.1%} would still be answered")
    lines = [of_kind(line, report.kind) for line in lines]
    lines += [f"picture: {report.picture}"] if report.picture else []
    lines += [f"model: {report.output}"] if report.output else []
    return in_lines([*lines, ""])
