"""Predict the classes of picture files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.places import check_file, check_folder
from striate.models.estimates import Estimates
from striate.models.model import Prediction, Predictions
from striate.models.segmenter import Segmentations, labels_pixels
from striate.workflows.runs.behind import say_edits
from striate.workflows.subjects.subject import open_model
from striate.workflows.tasks.segment import predict_masks

MAX_PICTURES_IN_PLOT = 36


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PredictRequest:
    """The model and the pictures."""

    run: Path
    pictures: list[Path]  # files, or folders of them
    top: int = 1
    plot: Path | None = None  # PNG of the pictures with their answers
    output: Path | None = None  # folder for the masks of a model that gives a class to each pixel
    skip_unreadable: bool = False
    batch_size: int = 128
    device: str = "auto"
    module: Any = None  # the user's own torch module, where the run trained one: files hold its weights alone


def predict(request: PredictRequest, *, say: Callable[[str], None] = lambda _text: None) -> Predictions | Segmentations | Estimates:
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
    files = readable_pictures(request.pictures, skip_unreadable=request.skip_unreadable, say=say)
    if labels_pixels(model):
        return predict_masks(model, files, output=request.output, plot=request.plot, say=say)
    if request.output is not None:
        raise UsageError("output: the model gives a class to each picture, and no masks to write", "Leave `output` out.")
    if model.targets is not None:
        if request.plot is not None:
            raise UsageError("plot: only classes and masks can be drawn, but the model gives numbers or labels", "Leave `plot` out.")
        return model.estimate(files, batch_size=request.batch_size)
    if model.gives_scores:
        say("scores of a hinge loss, not probabilities; `striate calibrate` writes a model that gives probabilities")
    predictions = model.classify(files, top=request.top, batch_size=request.batch_size)
    if request.plot is not None:
        from striate.drawing.pictures import predictions_picture

        shown = predictions.items[:MAX_PICTURES_IN_PLOT]
        images = model.read([item.path for item in shown])
        answers = [[(answer.class_name, answer.sureness) for answer in item.top] for item in shown]
        write_atomically(request.plot, predictions_picture(images, answers, [Path(item.path).name for item in shown]), field="plot")
        more = f" (the first {len(shown)} of {len(predictions)})" if len(shown) < len(predictions) else ""
        say(f"drawn: {request.plot}{more}")
    return predictions


def answer_rows(predictions: Predictions | Segmentations | Estimates) -> list[list[str]]:
    """For each picture its name and, in words, its classes, the most probable ones or those of its pixels; or its numbers or labels."""
    if isinstance(predictions, Estimates):
        return [[item.path, item.words] for item in predictions]
    if isinstance(predictions, Segmentations):
        return [[item.path, ", ".join(f"{name} {share:.1%}" for name, share in item.largest)] for item in predictions]
    return [[item.path, _words(item)] for item in predictions]


def _words(item: Prediction) -> str:
    classes = ", ".join(
        f"{answer.class_name} {answer.sureness}" if answer.probability is None else f"{answer.class_name} {answer.probability:.1%}"
        for answer in item.top
    )
    known = item.class_name == item.top[0].class_name
    return classes if known else f"{item.class_name} (nearest: {classes})"
