"""Measure a model on a split of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.devices import choose_device
from striate.core.errors import DataError
from striate.core.files import cannot_write, write_atomically, write_json
from striate.core.places import check_folder
from striate.core.targets import Task
from striate.core.text import Lines, in_lines
from striate.data.layout import Layout
from striate.data.omissions import Omission
from striate.data.records import DataSource, ImageSet
from striate.data.sources import open_data
from striate.estimators.model import OF_SCORES, Model, load
from striate.estimators.segmenter import labels_pixels
from striate.workflows.evaluation.measures import Measures, measure, most_confident_mistakes
from striate.workflows.evaluation.openings import count_opening, say_opening
from striate.workflows.evaluation.tables import write_classes_csv, write_confusion_csv, write_predictions_csv
from striate.workflows.pictures import confusion_picture, mistakes_picture
from striate.workflows.runs.behind import config_behind, data_of, division_of, run_of
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.tasks.segment import SegmentReport, evaluate_masks, open_masked, read_masked_split
from striate.workflows.tasks.segment import summary as segment_summary
from striate.workflows.tasks.targets import TargetReport, evaluate_targets, read_target_split
from striate.workflows.tasks.targets import summary as target_summary

MAX_MISTAKES = 36  # shown in the picture


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class EvaluateRequest:
    """Which model, on which split of which data."""

    run: Any  # a run folder, a .safetensors file, or a Model
    data: Any = None  # the run's own data by default
    split: Literal["train", "val", "test"] = "test"
    batch_size: int = 128
    device: str = "auto"
    output: Path | None = None  # folder of pictures and tables; RUN/report/evaluate-SPLIT by default
    skip_unreadable: bool = False
    layout: Layout = "auto"  # what the folders of the data are; as the training was told by default
    data_dir: Path | None = None
    download: bool = False


@dataclass(frozen=True, kw_only=True)
class EvaluateReport(Measures):
    """The measures of a model on a split, and where their pictures and tables lie."""

    split: str
    model: str
    data: str
    output: str | None
    test_openings: int | None = None  # how often the run's test split was opened, this time counted
    of_scores: bool = False  # whether the probabilities are the softmax of scores that a hinge loss taught, never calibrated
    left_out: tuple[Omission, ...] = ()  # what was found in the data and is not read, by the reason


def evaluate(
    request: EvaluateRequest, *, model: Model | None = None, say: Callable[[str], None] = lambda _text: None
) -> EvaluateReport | SegmentReport | TargetReport:
    """Measure; write confusion matrix, per-class table, every prediction and the most confident mistakes.

    Args:
        request: The model and the split.
        model: That of `request.run`, where it is loaded already.
        say: Takes a line for the person.

    Raises:
        DataError: no such split, unreadable pictures, or classes that the model does not know.
        UsageError: no data is named and the model's run does not tell.
        RefusedFileError: the model file is damaged or not a model.
    """
    if model is None:
        model = request.run if isinstance(request.run, Model) else load(request.run, device=str(choose_device(request.device)))
    run = None if isinstance(request.run, Model) else run_of(request.run)
    config = config_behind(request.run, model, say)
    output = request.output or (run / "report" / f"evaluate-{request.split}" if run is not None and Path(request.run).is_dir() else None)
    check_folder(output)

    def opened(data: str) -> int | None:
        """Count and say that the run's test split is opened, where it is; how often that was so far."""
        if request.split != "test" or run is None:
            return None
        count = count_opening(run, "evaluate", data)
        say_opening(count, say)
        return count

    if request.data is None and run is not None:
        say_again(run, request.split, say)
    name = model.network.name if isinstance(request.run, Model) else str(request.run)
    if labels_pixels(model):
        masked = open_masked(data_of(request.data, config), **_how(config, request.skip_unreadable, request.layout), say=say)
        pictures = read_masked_split(masked, request.split, model, config, say)
        openings = opened(masked.name)
        measured = evaluate_masks(model, pictures, request.split, name=name, data=masked.name, output=output, openings=openings)
        return dataclasses.replace(measured, left_out=masked.left_out)
    source = open_source(
        request.data,
        config,
        data_dir=request.data_dir,
        download=request.download,
        skip_unreadable=request.skip_unreadable,
        task=model.targets.task if model.targets is not None else "classify",
        layout=request.layout,
        say=say,
    )
    if model.targets is not None:
        images = read_target_split(source, request.split, model, config, say)
        openings, size = opened(source.name), request.batch_size
        return evaluate_targets(
            model, images, request.split, name=name, data=source.name, output=output, batch_size=size, openings=openings
        )
    images = read_split(source, request.split, model, config, say)
    openings = opened(source.name)
    probabilities = model.shares(images.images, batch_size=request.batch_size)
    report = judged(model, images, probabilities, split=request.split, name=name, data=source.name, output=output, openings=openings)
    return dataclasses.replace(report, left_out=source.left_out)


def say_again(run: Path, split: str, say: Callable[[str], None]) -> None:
    """Say what was found in the pictures of a split before the run trained."""
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
        _write(output, measures, probabilities, images, model)
    fields = {field.name: getattr(measures, field.name) for field in dataclasses.fields(measures)}
    where = str(output) if output is not None else None
    report = EvaluateReport(
        **fields, split=split, model=name, data=data, output=where, test_openings=openings, of_scores=model.gives_scores
    )
    if output is not None:
        write_json(output / "measures.json", _plain(report))
    return report


def _plain(report: EvaluateReport) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(EvaluateReport).dump_python(report, mode="json")


def open_source(
    data: Any,
    config: RunConfig | None,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    skip_unreadable: bool = False,
    task: Task = "classify",
    layout: Layout = "auto",
    say: Callable[[str], None] = lambda _text: None,
) -> DataSource:
    """The data that is named, or that of the run whose configuration is given, opened as the run opened it; what is left out is said.

    Raises:
        UsageError: no data is named.
        DataError: it cannot be opened.
    """
    data_dir = data_dir or (config.data_folder if config is not None else None)
    how = _how(config, skip_unreadable, layout)
    return open_data(data_of(data, config), data_dir=data_dir, download=download, task=task, say=say, **how)


def _how(config: RunConfig | None, skip_unreadable: bool = False, layout: Layout = "auto") -> dict[str, Any]:
    """How a folder is read: as the run read it, unless it is said otherwise."""
    return {
        "skip_unreadable": skip_unreadable or (config is not None and config.skip_unreadable),
        "layout": config.layout if config is not None and layout == "auto" else layout,
    }


def read_split(source: DataSource, split: str, model: Model, config: RunConfig | None, say: Callable[[str], None]) -> ImageSet:
    """The pictures of a split as the model takes them, labelled by the model's classes.

    Where the data has no val split, train and val are divided as the training divided them.

    Raises:
        DataError: a class of the data is not one of the model's; names it.
    """
    division = division_of(config)
    if division.decides(source, split):
        say(f"{split}: as the training divided it, {division}")
    places = _places(source, model)
    images = division.part(source, split, model.images)
    return dataclasses.replace(images, labels=places[images.labels], classes=model.classes)


def read_division(source: DataSource, model: Model, config: RunConfig | None) -> tuple[ImageSet, ImageSet]:
    """Train and val of data that has no val split, divided as the training divided them; labels and errors as of `read_split`."""
    places = _places(source, model)
    train, val = division_of(config).train_and_val(source, model.images)
    train, val = (dataclasses.replace(part, labels=places[part.labels], classes=model.classes) for part in (train, val))
    return train, val


def _places(source: DataSource, model: Model) -> np.ndarray:
    """(K',) int64: for each class of the data, the model's."""
    unknown = [name for name in source.classes if name not in model.classes]
    if unknown:
        known = ", ".join(model.classes[:20])
        raise DataError(f"{source.name}: class {', '.join(map(repr, unknown[:5]))} is not known to the model", f"It knows {known}.")
    return np.array([model.classes.index(name) for name in source.classes], np.int64)


def _write(output: Path, measures: Measures, probabilities: np.ndarray, images: ImageSet, model: Model) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(output, error) from error
    write_confusion_csv(output / "confusion.csv", measures)
    write_classes_csv(output / "classes.csv", measures)
    write_predictions_csv(output / "predictions.csv", images.paths, probabilities, images.labels, model.classes)
    write_atomically(output / "confusion.png", confusion_picture(measures.confusion_matrix, model.classes))
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
    """The report for a person."""
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
        f"log loss {report.log_loss:.4f}   expected calibration error {report.ece:.4f}",
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
