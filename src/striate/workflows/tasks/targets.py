"""Shared by numbers and sets of labels: rows of targets, an output each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import UsageError
from striate.core.tables import csv_text
from striate.core.text import Lines, counted, in_lines
from striate.data.records import ImageSet
from striate.engine.epochs import EpochRow
from striate.models.estimates import Estimates
from striate.models.inputs import Given
from striate.models.model import Model
from striate.workflows.tasks.record import Say

if TYPE_CHECKING:
    from striate.workflows.predict import PredictRequest


def predict(model: Model, pictures: Given, request: PredictRequest, say: Say) -> Estimates:  # noqa: ARG001  # as of any task
    """The numbers or labels of pictures.

    Raises:
        UsageError: masks are to be written, or a plot is to be drawn.
    """
    refuse_masks(request)
    if request.plot is not None:
        raise UsageError("`plot`: only classes and masks can be drawn, but the model gives numbers or labels", "Leave `plot` out.")
    return model.estimate(pictures, batch_size=request.batch_size)


def refuse_masks(request: PredictRequest) -> None:
    """Refuse to write the masks of a model that gives none."""
    if request.output is not None:
        raise UsageError("output: the model gives a class to each picture, and no masks to write", "Leave `output` out.")


def outputs_csv(images: ImageSet, outputs: np.ndarray, names: Sequence[str], word: str) -> str:
    """One row per picture: the truth and what was given, called `word`, of each output; `outputs` are (N, K)."""
    columns = [text for name in names for text in (name, f"{name} {word}")]
    lines = [
        [name, *(f"{value:.9g}" for pair in zip(truth, row, strict=True) for value in pair)]
        for name, truth, row in zip(images.paths, images.labels, outputs, strict=True)
    ]
    return csv_text(["path", *columns], lines)


def parts_csv(parts: Mapping[str, Any], kind: type[Any]) -> str:
    """One row each, one column per measure; a cell is empty if it is undefined."""
    header = [field.name for field in dataclasses.fields(kind)]
    rows = [[name, *(_cell(getattr(part, field)) for field in header)] for name, part in parts.items()]
    return csv_text(["name", *header], rows)


def of_kept(measure: Callable[[Model, ImageSet], Any], *names: str) -> Callable[..., dict[str, float | None]]:
    """The `val_measures` of a task: those of `names`, as `measure` gives them of the kept model and the validation split."""

    def val_measures(_: EpochRow, kept: Callable[[], Model], val_set: ImageSet) -> dict[str, float | None]:
        measures = measure(kept(), val_set)
        return {name: getattr(measures, name) for name in names}

    return val_measures


def in_table(report: Any, lines: Sequence[str], more: str = "") -> Lines:
    """A report as text: what was measured, with `more` of it, then `lines`, and where the tables lie."""
    head = f"{report.model} on {report.data}, {report.split} split: {counted(report.num_images, (report.kind or 'pictures')[:-1])}{more}"
    foot = ["", f"tables and pictures: {report.output}"] if report.output else []
    return in_lines([head, *lines, *foot, ""])


def four(value: float | None) -> str:
    """Four decimals; a dash where nothing can be said."""
    return "-" if value is None else f"{value:.4f}"


def _cell(value: float | None) -> object:
    return "" if value is None else value if isinstance(value, int) else f"{value:.6g}"
