"""Calibrate a trained classifier: its temperature, the reliability of its confidence, and a threshold for the answer "unknown"."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.calibration import SCORES, UNKNOWN, Calibration, Score, scores_of
from striate.core.errors import DataError, UsageError
from striate.core.files import make_folder, write_atomically, write_json
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.core.text import Lines, in_lines
from striate.data.folder import readable_pictures
from striate.data.listing import subfolders_of
from striate.data.sources import open_data
from striate.insight.calibrate.abstain import CoveragePoint, auroc, coverage_curve, threshold_for
from striate.insight.calibrate.evidence import ENOUGH, Temperature, coverage_interval, held_back_temperature, refuse_few
from striate.insight.calibrate.temperature import Bin, reliability
from striate.insight.measure.classes import measure
from striate.models.meanings import softmax
from striate.models.model import Model
from striate.workflows.evaluation.reliability_picture import reliability_picture
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The reliability of the probabilities at one temperature."""

    temperature: float
    ece: float
    log_loss: float
    bins: list[Bin]


@dataclass(frozen=True, kw_only=True)
class OutOfDistribution:
    """Detection of out-of-distribution pictures, which belong to no class of the model."""

    data: str
    num_images: int
    auroc: dict[str, float]  # by score: the probability that a picture of val scores above a strange one
    answered: float | None  # share that would still be answered; None: no threshold was asked for


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
    threshold: float | None
    coverage: float | None  # share of val that is answered
    coverage_interval: tuple[float, float] | None  # 95 %, of other pictures like them
    accuracy_answered: float | None
    curve: list[CoveragePoint]
    against: OutOfDistribution | None
    output: str
    picture: str | None


def calibrate(request: CalibrateRequest, *, say: Callable[[str], None] = lambda _text: None) -> CalibrateReport:
    """Fit the temperature on the val split, choose the threshold, and write a model file that holds both.

    The model file that was read stays as it is.

    Raises:
        UsageError: a model that gives no single class, no place to write to, or no data.
        DataError: no val split, unreadable pictures, classes that the model does not know, or too few pictures for the coverage.
        RefusedFileError: the model file is damaged or not a model.
    """
    subject = _subject(request)
    model, run = subject.trained, subject.path if subject.path is not None and subject.path.is_dir() else None
    output = _output(request, run)
    labelled = subject.open_data(request, f"calibrate {subject.where}", say)
    images = labelled.read("val", say)
    if request.coverage is not None:
        refuse_few(len(images), request.coverage)
    logits, labels = model.outputs(images.images, batch_size=request.batch_size), images.labels
    fitted = held_back_temperature(logits, labels)
    temperature = fitted.value
    scores, correct = scores_of(logits, request.score, temperature), logits.argmax(1) == labels
    threshold = None if request.coverage is None else threshold_for(scores, request.coverage)
    found = Calibration(temperature=temperature, score=request.score, threshold=threshold)
    answered = scores >= threshold if threshold is not None else np.ones(len(scores), bool)
    against = None if request.against is None else _strangers(request, model, logits, found, say)
    _calibrated(model, found).save(output)
    report = CalibrateReport(
        model=subject.name,
        data=labelled.source.name,
        num_images=len(images),
        accuracy=float(correct.mean()),
        before=worth(logits, labels, model.classes, 1.0),
        after=worth(logits, labels, model.classes, temperature),
        fitted=fitted,
        score=request.score,
        threshold=threshold,
        coverage_interval=coverage_interval(int(answered.sum()), len(scores)) if threshold is not None else None,
        coverage=float(answered.mean()) if threshold is not None else None,
        accuracy_answered=float(correct[answered].mean()) if threshold is not None else None,
        curve=coverage_curve(scores, correct),
        against=against,
        output=str(output),
        picture=str(run / "report" / "calibrate" / "reliability.png") if run is not None else None,
    )
    if run is not None:
        _write(run / "report" / "calibrate", report)
    return report


def _subject(request: CalibrateRequest) -> Subject:
    """The subject of a calibration.

    Raises:
        UsageError: it gives no single class, or one of its classes is called as the answer that it learns to give.
    """
    subject = open_model(request.run, device=request.device, module=request.module)
    model = subject.classifier(f"{subject.name}: does not give one class per picture, and has no temperature", "Calibrate a classifier.")
    if request.coverage is not None and UNKNOWN in model.classes:
        message = f"{subject.name}: has a class {UNKNOWN!r} already, so that answer would be ambiguous"
        raise UsageError(message, "Leave `coverage` out.")
    return subject


def _calibrated(model: Model, found: Calibration) -> Model:
    """The same weights with the calibration; `model` is not changed."""
    result = copy.copy(model)
    result.info = {**model.info, "calibration": TypeAdapter(Calibration).dump_python(found, mode="json")}
    result.calibration = found
    return result


def _output(request: CalibrateRequest, run: Path | None) -> Path:
    output = request.output or (run / NAME if run is not None else None)
    if output is None:
        raise UsageError("no place for the calibrated model", "Name a file: `output='calibrated.safetensors'`.")
    if not output.suffix:
        raise UsageError(f"`output` {output}: must end in .safetensors", f"Name it {output}.safetensors.")
    check_file(output, "output", (".safetensors",), makes_folder=True)
    if not isinstance(request.run, Model) and output.exists() and Path(request.run).exists() and output.samefile(request.run):
        raise UsageError(f"`output` {output}: is the model itself, which must not be overwritten", "Choose another file.")
    return output


def _strangers(
    request: CalibrateRequest, model: Model, logits: np.ndarray, found: Calibration, say: Callable[[str], None]
) -> OutOfDistribution:
    """The scores of the pictures of `against`, of its test split if it has one, beside those that gave `logits`."""
    name, images = _stranger_pictures(request, model, say)
    strange = model.outputs(images, batch_size=request.batch_size)
    areas: dict[str, float] = {score: auroc(*(scores_of(rows, score, found.temperature) for rows in (logits, strange))) for score in SCORES}
    scores = scores_of(strange, found.score, found.temperature)
    answered = None if found.threshold is None else float((scores >= found.threshold).mean())
    return OutOfDistribution(data=name, num_images=len(images), auroc=areas, answered=answered)


def _stranger_pictures(request: CalibrateRequest, model: Model, say: Callable[[str], None]) -> tuple[str, np.ndarray]:
    """Their name, and the pictures (N, H, W, C) uint8 as the model takes them: a data set's, or those that lie in one folder."""
    folder = Path(request.against) if isinstance(request.against, str | Path) else None
    if folder is not None and folder.is_dir() and not subfolders_of(folder):
        return str(folder), model.read(readable_pictures([folder], skip_unreadable=request.skip_unreadable, say=say))
    where: dict[str, Any] = {"data_dir": request.data_dir, "download": request.download, "skip_unreadable": request.skip_unreadable}
    source = open_data(request.against, **where, to_train=False, say=say)
    if common := sorted(set(source.classes) & set(model.classes)):
        words = ", ".join(map(repr, common[:5]))
        raise DataError(
            f"{source.name}: has the model's own classes {words}, so it is not out of distribution", "Give pictures of other objects."
        )
    return source.name, source.read("test" if "test" in source.splits else source.splits[0], spec=model.images).images


def worth(logits: np.ndarray, labels: np.ndarray, classes: Sequence[str], temperature: float) -> Reliability:
    """The reliability of the probabilities of a split at a temperature."""
    probs = softmax(logits / temperature)
    measured = measure(probs, labels, classes)
    bins = reliability(probs.max(1), probs.argmax(1) == labels)
    return Reliability(temperature=temperature, ece=measured.ece, log_loss=measured.log_loss, bins=bins)


def _write(folder: Path, report: CalibrateReport) -> None:
    make_folder(folder)
    write_json(folder / "calibration.json", dataclasses.asdict(report))
    write_atomically(folder / "reliability.png", reliability_picture(report.before, report.after, report.curve))


def summary(report: CalibrateReport) -> Lines:
    """The report as text."""
    lines = [
        f"{report.model} on {report.data}, val split: {report.num_images:,} pictures, accuracy {report.accuracy:.4f}",
        f"temperature {report.after.temperature:.4f}{_doubt(report.fitted)}",
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
    lines += [f"picture: {report.picture}"] if report.picture else []
    lines.append(f"model: {report.output}")
    return in_lines([*lines, ""])


def _doubt(fitted: Temperature) -> str:
    """The uncertainty of a temperature, in words."""
    low, high = fitted.interval
    few = f"; {fitted.num_images:,} pictures are few: give {ENOUGH} or more" if fitted.is_uncertain else ""
    return f" (95 % interval {low:.2f} to {high:.2f}{few})"
