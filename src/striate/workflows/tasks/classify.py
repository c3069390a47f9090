"""One class per picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from striate.core.files import make_folder, write_atomically
from striate.core.reports import shown_short, write_report
from striate.core.text import Lines
from striate.data.omissions import Omission
from striate.data.records import ImageSet
from striate.drawing.pictures import confusion_picture, mistakes_picture, predictions_picture
from striate.engine.epochs import EpochRow
from striate.engine.settings import OF_CLASSES
from striate.insight.measure.classes import Measures, measure, most_confident_mistakes
from striate.insight.measure.slices import SliceMeasures, Slices, slices_of, write_slices_csv
from striate.insight.measure.tables import write_classes_csv, write_confusion_csv, write_confusions_csv, write_predictions_csv
from striate.models.inputs import Given
from striate.models.model import OF_SCORES, Model, Predictions
from striate.workflows.tasks.record import MEASURES, Measured, Say, SplitFacts, TaskRecord
from striate.workflows.tasks.targets import in_table, refuse_masks

if TYPE_CHECKING:
    from striate.workflows.predict import PredictRequest

MAX_MISTAKES = 36  # shown in the picture
MAX_PICTURES_IN_PLOT = 36
MAX_SLICES = 20  # values of a column in the text
MAX_CLASSES, WORST = 200, 20  # classes in the text, and those that are shown of more


@shown_short
@dataclass(frozen=True, kw_only=True)
class EvaluateReport(SplitFacts, Measures):
    """The measures of a model on a split, and where their pictures and tables lie."""

    of_scores: bool = False  # whether the probabilities are the softmax of scores that a hinge loss taught, never calibrated
    left_out: tuple[Omission, ...] = ()  # what was found in the data and is not read, by the reason
    slices: Slices = Field(default_factory=dict)  # by the columns that were asked for


def evaluate(model: Model, measured: Measured) -> EvaluateReport:
    """Measure; write confusion matrix, per-class table, every prediction and the most confident mistakes."""
    return judged(model, measured, model.shares(measured.images.images, batch_size=measured.batch_size))


def judged(model: Model, measured: Measured, probabilities: np.ndarray) -> EvaluateReport:
    """The same of the probabilities (N, K) that a model gave to the pictures."""
    images, output = measured.images, measured.output
    measures = measure(probabilities, images.labels, model.classes)
    slices = slices_of(probabilities.argmax(1) == images.labels, images.facts.columns, measured.slices)
    report = measured.report(EvaluateReport, measures, left_out=measured.left_out, of_scores=model.gives_scores, slices=slices)
    if output is not None:
        title = f"{report.model} on {report.data}, {report.split} split"
        _write(output, measures, probabilities, images, model, title=title)
        if slices:
            write_slices_csv(output / "slices.csv", slices)
        write_report(output / MEASURES, report)
    return report


def _write(output: Path, measures: Measures, probabilities: np.ndarray, images: ImageSet, model: Model, *, title: str) -> None:
    make_folder(output)
    predicted = probabilities.argmax(1)
    write_classes_csv(output / "classes.csv", measures)
    write_predictions_csv(output / "predictions.csv", images.paths, probabilities, images.labels, model.classes)
    if measures.confusion_matrix is None:
        write_confusions_csv(output / "confusion.csv", model.classes, images.labels, predicted)
    else:
        write_confusion_csv(output / "confusion.csv", model.classes, measures.confusion_matrix)
        write_atomically(output / "confusion.png", confusion_picture(measures.confusion_matrix, model.classes, title=title))
    if images.kind != "pictures":
        return
    wrong = most_confident_mistakes(probabilities, images.labels, MAX_MISTAKES)
    picture = mistakes_picture(
        np.asarray(images.images[wrong]),
        [model.classes[k] for k in images.labels[wrong]],
        [model.classes[k] for k in predicted[wrong]],
        probabilities[wrong, predicted[wrong]],
        num_mistakes=int((predicted != images.labels).sum()),
        num_images=len(images),
    )
    write_atomically(output / "mistakes.png", picture)


def summary(report: EvaluateReport) -> Lines:
    """The report as text."""
    low, high = report.accuracy_interval
    top5 = f"   top-5 {report.top5_accuracy:.4f}" if report.top5_accuracy is not None else ""
    lines = [
        f"accuracy {report.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}){top5}",
        f"balanced accuracy {report.balanced_accuracy:.4f}   macro F1 {report.macro_f1:.4f}",
        f"log loss {report.log_loss:.4f} nats   expected calibration error {report.ece:.4f}",
        *([f"({OF_SCORES})"] if report.of_scores else []),
        "",
    ]
    shown = dict(report.classes)
    if len(shown) > MAX_CLASSES:
        known = [name for name, item in shown.items() if item.f1 is not None]
        shown = {name: shown[name] for name in sorted(known, key=lambda name: shown[name].f1 or 0)[:WORST]}
    width = max(5, *(len(name) for name in shown))
    lines.append(f"{'class':<{width}}  precision  recall      F1  {report.kind or 'pictures':>8}")
    for name, item in shown.items():
        shares = ((item.precision, 9), (item.recall, 6), (item.f1, 6))
        values = "  ".join(f"{'-' if value is None else format(value, '.4f'):>{wide}}" for value, wide in shares)
        lines.append(f"{name:<{width}}  {values}  {item.support:>8,}")
    if len(shown) < len(report.classes):
        lines.append(f"({len(report.classes) - len(shown):,} more classes, with no lower F1 or none, are in classes.csv)")
    for column, parts in report.slices.items():
        lines += ["", *slices_in_words(column, parts)]
    return in_table(report, lines)


def slices_in_words(column: str, parts: Mapping[str, SliceMeasures]) -> list[str]:
    """The lines of a table of the values of a column, of many the least accurate."""
    shown = dict(list(parts.items())[:MAX_SLICES])
    width = max(map(len, (column, *shown)))
    lines = [f"{column:<{width}}  accuracy  95 % interval     pictures"]
    for value, one in shown.items():
        low, high = one.accuracy_interval
        lines.append(f"{value:<{width}}    {one.accuracy:.4f}  {low:.4f} to {high:.4f}  {one.num_images:>8,}")
    return lines + ([f"({len(parts) - len(shown):,} more, with higher accuracy)"] if len(parts) > len(shown) else [])


def predict(model: Model, pictures: Given, request: PredictRequest, say: Say) -> Predictions:
    """The classes of pictures; into `plot` the pictures with their answers.

    Raises:
        UsageError: masks are to be written.
    """
    refuse_masks(request)
    if model.gives_scores:
        say("scores of a hinge loss, not probabilities; `striate calibrate` writes a model that gives probabilities")
    predictions = model.classify(pictures, top=request.top, batch_size=request.batch_size)
    if request.plot is not None:
        shown = predictions.items[:MAX_PICTURES_IN_PLOT]
        images = model.read(pictures.first(len(shown)))
        answers = [[(answer.class_name, answer.sureness) for answer in item.top] for item in shown]
        write_atomically(request.plot, predictions_picture(images, answers, [Path(item.path).name for item in shown]), field="plot")
        more = f" (the first {len(shown)} of {len(predictions)})" if len(shown) < len(predictions) else ""
        say(f"drawn: {request.plot}{more}")
    return predictions


def val_measures(best: EpochRow, kept: Callable[[], Model], val_set: ImageSet) -> dict[str, float | None]:  # noqa: ARG001  # as of any task
    """The monitored measure: the accuracy under attack, or a measure of classes."""
    if best.val_robust_accuracy is not None:
        return {"robust_accuracy": best.val_robust_accuracy}
    return {name: value for name in OF_CLASSES if (value := getattr(best, f"val_{name}")) is not None}


CLASSIFY = TaskRecord(
    name="classify",
    single_class=True,
    gives_classes=True,
    report=EvaluateReport,
    evaluate=evaluate,
    summary=summary,
    predict=predict,
    val_measures=val_measures,
)
