"""Several labels for each picture."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from striate.core.reports import shown_short, write_files
from striate.core.text import Lines
from striate.insight.measure.targets import LabelMeasures, MultilabelMeasures, measure_labels
from striate.models.model import Model
from striate.workflows.tasks.record import MEASURES, Measured, SplitFacts, TaskRecord
from striate.workflows.tasks.targets import four, in_table, of_kept, outputs_csv, parts_csv, predict


@shown_short
@dataclass(frozen=True, kw_only=True)
class MultilabelReport(SplitFacts, MultilabelMeasures):
    """The measures of sets of labels on a split, and where their tables lie."""


def evaluate(model: Model, measured: Measured) -> MultilabelReport:
    """Measure; write the measures and each probability."""
    images, output = measured.images, measured.output
    probabilities = model.shares(images.images, batch_size=measured.batch_size)
    measures = measure_labels(probabilities, images.labels, model.classes)
    report = measured.report(MultilabelReport, measures)
    if output is not None:
        parts, each = parts_csv(report.labels, LabelMeasures), outputs_csv(images, probabilities, model.classes, "probability")
        write_files(output, {"labels.csv": parts, "predictions.csv": each, MEASURES: report})
    return report


def summary(report: MultilabelReport) -> Lines:
    """The report as text."""
    low, high = report.subset_accuracy_interval
    width = max(5, *(len(name) for name in report.labels))
    lines = [
        f"mean average precision {four(report.mean_average_precision)}",
        f"macro F1 {four(report.macro_f1)}   micro F1 {four(report.micro_f1)}   log loss {report.log_loss:.4f} nats",
        f"all labels correct {report.subset_accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}), each {report.label_accuracy:.4f}",
        "",
        f"{'label':<{width}}  av. prec.  precision  recall      F1  {report.kind or 'pictures':>8}",
    ]
    for name, one in report.labels.items():
        values = ((one.average_precision, 9), (one.precision, 9), (one.recall, 6), (one.f1, 6))
        lines.append(f"{name:<{width}}  {'  '.join(f'{four(value):>{wide}}' for value, wide in values)}  {one.support:>8,}")
    return in_table(report, lines)


MULTILABEL = TaskRecord(
    name="multilabel",
    outputs=("label", "labels"),
    losses=("binary_cross_entropy",),
    monitored=("accuracy", "loss"),
    report=MultilabelReport,
    evaluate=evaluate,
    summary=summary,
    predict=predict,
    val_measures=of_kept(
        lambda model, val: measure_labels(model.shares(val.images), val.labels, model.classes),
        *("mean_average_precision", "macro_f1", "micro_f1", "subset_accuracy"),
    ),
)
