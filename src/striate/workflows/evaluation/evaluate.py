"""Measure a model on a split of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.files import cannot_write, write_atomically, write_json
from striate.core.reports import shown_short
from striate.core.text import Lines, in_lines
from striate.data.masks import MaskedSet
from striate.data.omissions import Omission
from striate.data.recorded import Trained
from striate.data.records import ImageSet
from striate.drawing.pictures import confusion_picture, mistakes_picture
from striate.insight.measure.classes import Measures, measure, most_confident_mistakes
from striate.insight.measure.tables import write_classes_csv, write_confusion_csv, write_predictions_csv
from striate.models.model import OF_SCORES, Model
from striate.workflows.runs.folder import RunFolder
from striate.workflows.subjects.labelled import ALL, MEASURED
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model, read_split
from striate.workflows.tasks.segment import SegmentReport, evaluate_masks
from striate.workflows.tasks.segment import summary as segment_summary
from striate.workflows.tasks.targets import TargetReport, evaluate_targets
from striate.workflows.tasks.targets import summary as target_summary

Report = TypeVar("Report", bound="EvaluateReport | SegmentReport | TargetReport")
MAX_MISTAKES = 36  # shown in the picture


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class EvaluateRequest(LabelledRequest):
    """The model, the data and the split."""

    split: Literal["train", "val", "test"] | None = None  # None: test where there is one, else val; all of other data without splits
    batch_size: int = 128
    output: Path | None = None  # folder of pictures and tables; RUN/report/evaluate-SPLIT by default, of other data evaluate-SPLIT-on-NAME


@shown_short
@dataclass(frozen=True, kw_only=True)
class EvaluateReport(Measures):
    """The measures of a model on a split, and where their pictures and tables lie."""

    split: str  # "all": of data without splits that the model was not trained on
    model: str
    data: str
    output: str | None
    test_openings: int | None = None  # how often the run's test split was opened, this time counted
    trained_among: Trained | None = None  # pictures of it that the model was trained on; None: not recorded, or train and val of the run
    of_scores: bool = False  # whether the probabilities are the softmax of scores that a hinge loss taught, never calibrated
    left_out: tuple[Omission, ...] = ()  # what was found in the data and is not read, by the reason


def evaluate(request: EvaluateRequest, *, say: Callable[[str], None] = lambda _text: None) -> EvaluateReport | SegmentReport | TargetReport:
    """Measure; write confusion matrix, per-class table, every prediction and the most confident mistakes.

    Raises:
        DataError: no such split, unreadable pictures, or classes that the model does not know.
        UsageError: no data is named and the model's run does not tell.
        RefusedFileError: the model file is damaged or not a model.
    """
    return evaluate_subject(open_model(request.run, device=request.device, module=request.module), request, say=say)


def evaluate_subject(
    subject: Subject, request: EvaluateRequest, *, say: Callable[[str], None]
) -> EvaluateReport | SegmentReport | TargetReport:
    """The same of a subject that is open already."""
    model, run = subject.trained, subject.run
    subject.report_folder("", request.output)
    labelled = subject.open_data(request, f"evaluate {subject.where}", say)
    images, openings = read_split(labelled, request.split, "evaluate", say, MEASURED)
    among = labelled.trained_among(images.split)
    split, data, left_out = images.split, labelled.source.name, labelled.source.left_out
    if request.data is None and run is not None:
        say_again(run, split, say)
    if request.split is None and split == "val":
        say(f"{data} has no test split: measured on val")
    words = ("evaluate", None if split == ALL else split, None if labelled.is_own else f"on-{data}")
    output = subject.report_folder("-".join(filter(None, words)), request.output)
    name = subject.name
    if isinstance(images, MaskedSet):
        of_masks = evaluate_masks(model, images, split, name=name, data=data, output=output, openings=openings)
        return kept(dataclasses.replace(of_masks, left_out=left_out, trained_among=among), output)
    if model.targets is not None:
        size = request.batch_size
        of_targets = evaluate_targets(model, images, split, name=name, data=data, output=output, batch_size=size, openings=openings)
        return kept(dataclasses.replace(of_targets, trained_among=among), output)
    probabilities = model.shares(images.images, batch_size=request.batch_size)
    report = judged(model, images, probabilities, split=split, name=name, data=data, output=output, openings=openings)
    return kept(dataclasses.replace(report, left_out=left_out, trained_among=among), output)


def kept(report: Report, output: Path | None) -> Report:
    """The report, of which the folder `output` keeps the measures."""
    if output is not None:
        write_json(output / "measures.json", _plain(report))
    return report


def say_again(run: Path, split: str, say: Callable[[str], None]) -> None:
    """Report the findings in the pictures of a split before the run trained."""
    for finding in RunFolder(run).read_data_findings():
        if finding.where == split and finding.severity != "note":
            say(f"{finding.severity}: {finding}")


def judged(
    model: Model,
    images: ImageSet,
    probabilities: np.ndarray,
    *,
    split: str,
    name: str,
    data: str,
    output: Path | None,
    openings: int | None = None,
) -> EvaluateReport:
    """The measures of the probabilities (N, K) that a model gave to the pictures of a split; written into the folder `output`, if any."""
    measures = measure(probabilities, images.labels, model.classes)
    if output is not None:
        _write(output, measures, probabilities, images, model, title=f"{name} on {data}, {split} split")
    fields = {field.name: getattr(measures, field.name) for field in dataclasses.fields(measures)}
    where = str(output) if output is not None else None
    report = EvaluateReport(
        **fields, split=split, model=name, data=data, output=where, test_openings=openings, of_scores=model.gives_scores
    )
    return kept(report, output)


def _plain(report: EvaluateReport | SegmentReport | TargetReport) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(type(report)).dump_python(report, mode="json")


def _write(output: Path, measures: Measures, probabilities: np.ndarray, images: ImageSet, model: Model, *, title: str) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(output, error) from error
    write_confusion_csv(output / "confusion.csv", measures)
    write_classes_csv(output / "classes.csv", measures)
    write_predictions_csv(output / "predictions.csv", images.paths, probabilities, images.labels, model.classes)
    write_atomically(output / "confusion.png", confusion_picture(measures.confusion_matrix, model.classes, title=title))
    wrong = most_confident_mistakes(probabilities, images.labels, MAX_MISTAKES)
    predicted = probabilities.argmax(1)
    picture = mistakes_picture(
        np.asarray(images.images[wrong]),
        [model.classes[k] for k in images.labels[wrong]],
        [model.classes[k] for k in predicted[wrong]],
        probabilities[wrong, predicted[wrong]],
        num_mistakes=int((predicted != images.labels).sum()),
        num_images=len(images),
    )
    write_atomically(output / "mistakes.png", picture)


def summary(report: EvaluateReport | SegmentReport | TargetReport) -> Lines:
    """The report as text."""
    if isinstance(report, TargetReport):
        return target_summary(report)
    if isinstance(report, SegmentReport):
        return segment_summary(report)
    low, high = report.accuracy_interval
    top5 = f"   top-5 {report.top5_accuracy:.4f}" if report.top5_accuracy is not None else ""
    lines = [
        f"{report.model} on {report.data}, {report.split} split: {report.num_images:,} pictures",
        f"accuracy {report.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}){top5}",
        f"balanced accuracy {report.balanced_accuracy:.4f}   macro F1 {report.macro_f1:.4f}",
        f"log loss {report.log_loss:.4f} nats   expected calibration error {report.ece:.4f}",
        *([f"({OF_SCORES})"] if report.of_scores else []),
        "",
    ]
    width = max(5, *(len(name) for name in report.classes))
    lines.append(f"{'class':<{width}}  precision  recall      F1  pictures")
    for name, item in report.classes.items():
        shares = ((item.precision, 9), (item.recall, 6), (item.f1, 6))
        values = "  ".join(f"{'-' if value is None else format(value, '.4f'):>{wide}}" for value, wide in shares)
        lines.append(f"{name:<{width}}  {values}  {item.support:>8,}")
    if report.output:
        lines += ["", f"tables and pictures: {report.output}"]
    return in_lines([*lines, ""])
