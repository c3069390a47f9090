"""Numbers and sets of labels: their losses in training, and the measures of a model of them on a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import cannot_write, write_atomically, write_json
from striate.core.reports import shown_short
from striate.core.tables import csv_text
from striate.core.targets import Task
from striate.core.text import Lines, in_lines
from striate.data.recorded import Trained
from striate.data.records import ImageSet
from striate.engine.settings import LossName, MonitorName, TrainSettings
from striate.insight.measure.targets import (
    LabelMeasures,
    MultilabelMeasures,
    NumberMeasures,
    RegressionMeasures,
    measure_labels,
    measure_numbers,
)
from striate.models.estimates import sigmoid
from striate.models.model import Model
from striate.workflows.tasks.scatter import scatter_picture

# the losses of each task; the first is the default
LOSSES: dict[Task, tuple[LossName, ...]] = {
    "regression": ("mse", "l1", "huber"),
    "multilabel": ("binary_cross_entropy",),
    "segment": ("cross_entropy", "nll", "focal"),
}
# the measures of validation that can choose the kept epoch, where not each of them can
MONITORED: dict[Task, tuple[MonitorName, ...]] = {"regression": ("loss",), "multilabel": ("accuracy", "loss")}


@shown_short
@dataclass(frozen=True, kw_only=True)
class RegressionReport(RegressionMeasures):
    """The measures of estimated numbers on a split, and where their pictures and tables lie."""

    split: str
    model: str
    data: str
    output: str | None
    test_openings: int | None = None  # how often the run's test split was opened, this time counted
    trained_among: Trained | None = None  # pictures of it that the model was trained on; None: not recorded, or train and val of the run


@shown_short
@dataclass(frozen=True, kw_only=True)
class MultilabelReport(MultilabelMeasures):
    """The measures of sets of labels on a split, and where their tables lie."""

    split: str
    model: str
    data: str
    output: str | None
    test_openings: int | None = None  # how often the run's test split was opened, this time counted
    trained_among: Trained | None = None  # pictures of it that the model was trained on; None: not recorded, or train and val of the run


TargetReport = RegressionReport | MultilabelReport


def suited_to(task: Task, settings: TrainSettings, *, asked: str | None = None) -> TrainSettings:
    """The settings with the task's own loss where they have the default, cross-entropy, and nobody `asked` for a loss.

    Numbers are neither right nor wrong: their loss is monitored in place of an accuracy.

    Raises:
        UsageError: the task has no such loss or no such measure, or cannot be trained against an attack.
    """
    if task == "regression" and settings.monitor == "accuracy":
        settings = dataclasses.replace(settings, monitor="loss")
    if settings.monitor not in MONITORED.get(task, get_args(MonitorName)):
        message = f"`task={task!r}` cannot be trained with `monitor={settings.monitor!r}`"
        raise UsageError(message, f"Take one of {', '.join(MONITORED[task])}.")
    if settings.adversarial is not None and task != "classify":
        message = f"adversarial: only a network that gives one class per picture can be trained against an attack, not `task={task!r}`"
        raise UsageError(message, "Leave `adversarial` out.")
    losses = LOSSES.get(task)
    if losses is None or settings.loss in losses:
        return settings
    if settings.loss != "cross_entropy" or asked is not None:
        raise UsageError(f"`task={task!r}` cannot be trained on the {settings.loss} loss", f"Take one of {', '.join(losses)}.")
    return dataclasses.replace(settings, loss=losses[0])


def val_measures(model: Model, images: ImageSet) -> dict[str, float | None]:
    """The measures of a model on its validation split that a training reports; none of one that gives classes."""
    if model.targets is None or images.labels.ndim != 2:
        return {}
    measures = measures_of(model, model.outputs(images.images), images.labels)
    kept = ("r2", "mae", "rmse", "mean_average_precision", "macro_f1", "micro_f1", "subset_accuracy")
    return {name: getattr(measures, name) for name in kept if hasattr(measures, name)}


def measures_of(model: Model, outputs: np.ndarray, truth: np.ndarray) -> RegressionMeasures | MultilabelMeasures:
    """The measures of the model's outputs, (N, K), against the truth."""
    if model.targets is not None and model.targets.task == "regression":
        return measure_numbers(outputs, truth, model.classes)
    return measure_labels(sigmoid(outputs), truth, model.classes)


def evaluate_targets(
    model: Model,
    images: ImageSet,
    split: str,
    *,
    name: str,
    data: str,
    output: Path | None,
    batch_size: int,
    openings: int | None = None,
) -> TargetReport:
    """Measure; write the measures, each prediction, and of numbers a picture of them against the true ones.

    Args:
        model: Gives numbers or labels.
        images: The pictures and targets of the split, as the model takes them.
        split: Its name.
        name: The name of the model in the report.
        data: The name of the data in the report.
        output: The folder to write to; None writes nothing.
        batch_size: Pictures run at once.
        openings: The number of uses of the test split so far, if it is that split.
    """
    outputs = model.outputs(images.images, batch_size=batch_size)
    measures = measures_of(model, outputs, images.labels)
    fields = {field.name: getattr(measures, field.name) for field in dataclasses.fields(measures)}
    kind = RegressionReport if isinstance(measures, RegressionMeasures) else MultilabelReport
    where = str(output) if output is not None else None
    report: TargetReport = kind(**fields, split=split, model=name, data=data, output=where, test_openings=openings)
    if output is not None:
        _write(output, report, images, outputs, model)
    return report


def _write(output: Path, report: TargetReport, images: ImageSet, outputs: np.ndarray, model: Model) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(output, error) from error
    if isinstance(report, RegressionReport):
        title = f"{report.num_images:,} pictures, {report.split} split"
        write_atomically(output / "scatter.png", scatter_picture(outputs, images.labels, model.classes, title=title))
        _write_parts(output / "outputs.csv", report.outputs, NumberMeasures)
    else:
        _write_parts(output / "labels.csv", report.labels, LabelMeasures)
        outputs = sigmoid(outputs)
    word = "estimate" if isinstance(report, RegressionReport) else "probability"
    columns = [text for name in model.classes for text in (name, f"{name} {word}")]
    lines = [
        [path, *(f"{value:.9g}" for pair in zip(truth, row, strict=True) for value in pair)]
        for path, truth, row in zip(images.paths, images.labels, outputs, strict=True)
    ]
    write_atomically(output / "predictions.csv", csv_text(["path", *columns], lines).encode())
    write_json(output / "measures.json", TypeAdapter(type(report)).dump_python(report, mode="json"))


def _write_parts(path: Path, parts: Mapping[str, Any], kind: type[NumberMeasures | LabelMeasures]) -> None:
    """One row each, one column per measure; a cell is empty if it is undefined."""
    header = [field.name for field in dataclasses.fields(kind)]
    rows = [[name, *(_cell(getattr(part, field)) for field in header)] for name, part in parts.items()]
    write_atomically(path, csv_text(["name", *header], rows).encode())


def summary(report: TargetReport) -> Lines:
    """The report as text."""
    lines = [f"{report.model} on {report.data}, {report.split} split: {report.num_images:,} pictures"]
    if isinstance(report, RegressionReport):
        width = max(6, *(len(name) for name in report.outputs))
        lines += [
            f"R2 {_four(report.r2)}   mean absolute error {report.mae:.6g}   root mean squared error {report.rmse:.6g}",
            "",
            f"{'number':<{width}}      R2  abs. error  rms error        bias",
        ]
        lines += [
            f"{name:<{width}}  {_four(n.r2):>6}  {n.mae:>10.4g}  {n.rmse:>9.4g}  {n.bias:>10.4g}" for name, n in report.outputs.items()
        ]
    else:
        low, high = report.subset_accuracy_interval
        width = max(5, *(len(name) for name in report.labels))
        lines += [
            f"mean average precision {_four(report.mean_average_precision)}",
            f"macro F1 {_four(report.macro_f1)}   micro F1 {_four(report.micro_f1)}   log loss {report.log_loss:.4f} nats",
            f"all labels correct {report.subset_accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}), each {report.label_accuracy:.4f}",
            "",
            f"{'label':<{width}}  av. prec.  precision  recall      F1  pictures",
        ]
        for name, one in report.labels.items():
            values = ((one.average_precision, 9), (one.precision, 9), (one.recall, 6), (one.f1, 6))
            lines.append(f"{name:<{width}}  {'  '.join(f'{_four(value):>{wide}}' for value, wide in values)}  {one.support:>8,}")
    if report.output:
        lines += ["", f"tables and pictures: {report.output}"]
    return in_lines([*lines, ""])


def _four(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _cell(value: float | None) -> object:
    return "" if value is None else value if isinstance(value, int) else f"{value:.6g}"
