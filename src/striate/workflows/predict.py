"""Predict the classes of picture files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.places import check_file, check_folder
from striate.data.samples import read_samples
from striate.models.model import Model
from striate.workflows.runs.behind import say_edits
from striate.workflows.subjects.subject import open_model
from striate.workflows.tasks.record import PictureAnswers
from striate.workflows.tasks.registry import task_of


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PredictRequest:
    """The model and the pictures."""

    run: Path
    pictures: list[Path]  # files, or folders of them; of a model of other samples .csv, .npy and .npz files
    top: int = 1
    plot: Path | None = None  # PNG of the pictures with their answers
    output: Path | None = None  # folder for the masks of a model that gives a class to each pixel
    skip_unreadable: bool = False
    batch_size: int = 128
    device: str = "auto"
    module: Any = None  # the user's own torch module, where the run trained one: files hold its weights alone


def predict(request: PredictRequest, *, say: Callable[[str], None] = lambda _text: None) -> PictureAnswers:
    """The classes, masks, numbers or labels of the pictures, in the order given; a folder's pictures in the order of their names.

    Raises:
        DataError: no pictures, no such file, or, unless those are to be skipped, one that cannot be read; names it.
        UsageError: masks are to be written, or a plot drawn, but the model gives none; or the plot is to be a file of another kind.
        EnvironmentFault: the plot or the masks cannot be written where they are to be.
        RefusedFileError: the model file is damaged or not a model.
    """
    from striate.data.folder import readable_pictures

    check_file(request.plot, "plot", (".png",))
    check_folder(request.output)
    model = open_model(request.run, device=request.device, module=request.module).trained
    say_edits(request.run, model, say)
    if model.images.kind != "pictures":
        if request.plot is not None or request.output is not None:
            raise UsageError("plot, output: draw and write pictures, and the model takes " + model.images.kind, "Leave them out.")
        return predict_samples(model, request.pictures, top=request.top, batch_size=request.batch_size)
    files = readable_pictures(request.pictures, skip_unreadable=request.skip_unreadable, say=say)
    return task_of(model).predict(model, files, request, say)


def predict_samples(model: Model, files: Sequence[Path], *, top: int = 1, batch_size: int = 128) -> PictureAnswers:
    """The answers for the samples of files, each called FILE:INDEX; of a CSV file FILE:LINE. Raises as of `read_samples`."""
    read = [read_samples(file, model.images) for file in files]
    names = [name for some, _ in read for name in some]
    answers = model.predict(np.concatenate([samples for _, samples in read]), top=top, batch_size=batch_size)
    items: Any = answers.items
    answers.items = tuple(dataclasses.replace(item, path=name) for item, name in zip(items, names, strict=True))
    return answers


def answer_rows(predictions: PictureAnswers) -> list[list[str]]:
    """For each picture its name and, in words, its classes, the most probable ones or those of its pixels; or its numbers or labels."""
    return [[item.path, item.words] for item in predictions]
