"""Numbers for each picture."""

from __future__ import annotations

from collections.abc import Callable

from pydantic.dataclasses import dataclass

from striate.core.files import make_folder, write_atomically
from striate.core.reports import shown_short, write_report
from striate.core.text import Lines
from striate.data.augmentation.record import Augmentation
from striate.data.records import ImageSet
from striate.engine.epochs import EpochRow
from striate.insight.measure.targets import NumberMeasures, RegressionMeasures, measure_numbers
from striate.models.model import Model
from striate.workflows.tasks.record import MEASURES, Measured, SplitFacts, TaskRecord
from striate.workflows.tasks.scatter import scatter_picture
from striate.workflows.tasks.targets import four, in_table, predict, write_outputs, write_parts


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
        make_folder(output)
        title = f"{report.num_images:,} pictures, {report.split} split"
        write_atomically(output / "scatter.png", scatter_picture(outputs, images.labels, model.classes, title=title))
        write_parts(output / "outputs.csv", report.outputs, NumberMeasures)
        write_outputs(output / "predictions.csv", images, outputs, model.classes, "estimate")
        write_report(output / MEASURES, report)
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


def val_measures(best: EpochRow, kept: Callable[[], Model], val_set: ImageSet) -> dict[str, float | None]:  # noqa: ARG001  # as of any task
    """The three measures of the kept model on the validation split."""
    model = kept()
    measures = measure_numbers(model.outputs(val_set.images), val_set.labels, model.classes)
    return {name: getattr(measures, name) for name in ("r2", "mae", "rmse")}


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
    val_measures=val_measures,
)
