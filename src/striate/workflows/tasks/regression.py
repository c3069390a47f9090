"""Numbers for each picture."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from striate.core.reports import shown_short, write_files
from striate.core.text import Lines
from striate.data.augmentation.record import Augmentation
from striate.insight.measure.targets import NumberMeasures, RegressionMeasures, measure_numbers
from striate.models.model import Model
from striate.workflows.tasks.record import MEASURES, Measured, SplitFacts, TaskRecord
from striate.workflows.tasks.scatter import scatter_picture
from striate.workflows.tasks.targets import four, in_table, of_kept, outputs_csv, parts_csv, predict


@shown_short
@dataclass(frozen=True, kw_only=True)
class RegressionReport(SplitFacts, RegressionMeasures):
    """The measures of estimated numbers on a split, and where their pictures and tables lie."""


def evaluate(model: Model, measured: Measured) -> RegressionReport:
    """Measure; write the measures, each estimate, and a picture of them against the true numbers."""
    images, output = measured.images, measured.output
    outputs = model.outputs(images.images, batch_size=measured.batch_size)
    measures = measure_numbers(outputs, images.labels, model.classes)
    report = measured.report(RegressionReport, measures)
    if output is not None:
        title = f"{report.num_images:,} {report.kind or 'pictures'}, {report.split} split"
        scatter = scatter_picture(outputs, images.labels, model.classes, title=title)
        parts, each = parts_csv(report.outputs, NumberMeasures), outputs_csv(images, outputs, model.classes, "estimate")
        write_files(output, {"scatter.png": scatter, "outputs.csv": parts, "predictions.csv": each, MEASURES: report})
    return report


def summary(report: RegressionReport) -> Lines:
    """The report as text."""
    width = max(6, *(len(name) for name in report.outputs))
    lines = [
        f"R2 {four(report.r2)}   mean absolute error {report.mae:.6g}   root mean squared error {report.rmse:.6g}",
        "",
        f"{'number':<{width}}      R2  abs. error  rms error        bias",
    ]
    lines += [f"{name:<{width}}  {four(n.r2):>6}  {n.mae:>10.4g}  {n.rmse:>9.4g}  {n.bias:>10.4g}" for name, n in report.outputs.items()]
    return in_table(report, lines)


REGRESSION = TaskRecord(
    name="regression",
    has_accuracy=False,
    outputs=("number", "numbers"),
    losses=("mse", "l1", "huber"),
    monitored=("loss",),
    augmentation=lambda _: Augmentation(),  # many numbers, such as places and angles, change with the picture
    report=RegressionReport,
    evaluate=evaluate,
    summary=summary,
    predict=predict,
    val_measures=of_kept(lambda model, val: measure_numbers(model.outputs(val.images), val.labels, model.classes), "r2", "mae", "rmse"),
)
