"""Predict the classes of picture files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.places import check_file, check_folder
from striate.data.named import NAMED
from striate.data.samples import read_samples
from striate.drawing.maps import Mapped, maps_picture
from striate.drawing.style import short_name
from striate.models.inputs import Given
from striate.models.maps import class_maps, own_pixels
from striate.models.meanings import softmax
from striate.models.model import Model
from striate.workflows.predicting.many import ManyReport, predict_many
from striate.workflows.runs.behind import say_edits
from striate.workflows.subjects.labelled import DataRequest
from striate.workflows.subjects.subject import Subject, open_model
from striate.workflows.tasks.record import PictureAnswers
from striate.workflows.tasks.registry import task_of

MADE_FILES = ("segment", "restore")  # tasks whose answers are files themselves
MAPPED, MAPS = 6, 5  # pictures, and classes of each, of which maps are drawn


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PredictRequest:
    """The model and the pictures."""

    run: Any  # a run folder, a .safetensors file, or a Model
    pictures: list[Path]  # files, folders of them, or one data set; of a model of other samples .csv, .npy and .npz files
    split: Literal["train", "val", "test"] | None = None  # of the data set; val by default, all where there are no splits
    first: int | None = Field(default=None, ge=1)  # so many of them; None: all
    top: int = 1
    plot: Path | None = None  # PNG of the pictures with their answers
    maps: Path | None = None  # PNG of the pictures in their own size, with the probability of classes at each place over them
    output: Path | None = None  # folder for files of answers; for masks, or pictures, of a model that gives those
    output_format: Literal["csv", "jsonl", "parquet"] = "csv"  # of the files of answers
    shard: str | None = None  # of many pictures: 3/16 is the third of sixteen parts
    on: str | None = None  # "ray", or "ray=ADDRESS": the workers of a cluster answer many pictures
    skip_unreadable: bool = False
    batch_size: int = 128
    device: str = "auto"
    data_dir: Path | None = None
    download: bool = False
    module: Any = None  # the user's own torch module, where the run trained one: files hold its weights alone


def predict(request: PredictRequest, *, say: Callable[[str], None] = lambda _text: None) -> PictureAnswers | ManyReport:
    """The classes, masks, numbers, labels or pictures that are made of pictures, in their order; a folder's in the order of their names.

    With `output`, classes, numbers and labels go into files there, and what is returned counts them.

    Raises:
        DataError: no pictures, no such file, or, unless those are to be skipped, one that cannot be read; names it.
        UsageError: masks are to be written, or a plot drawn, but the model gives none; or the plot is to be a file of another kind.
        EnvironmentFault: the plot or the masks cannot be written where they are to be.
        RefusedFileError: the model file is damaged or not a model.
    """
    check_outputs(request)
    subject = open_model(request.run, device=request.device, module=request.module)
    say_edits(request.run, subject.trained, say)
    makes_files = task_of(subject.trained).name in MADE_FILES
    if not makes_files and (request.output, request.shard, request.on) != (None, None, None):
        return predict_many(subject, request, say)
    if (request.shard, request.on) != (None, None):
        raise UsageError("`shard`, `on`: are for answers that are rows of a table, and this model gives pictures", "Leave them out.")
    refuse_drawing(subject.trained, request)
    answers = answered(subject.trained, asked_pictures(subject, request, say), request, say)
    answers.kind = subject.trained.images.kind
    return answers


def check_outputs(request: PredictRequest) -> None:
    """Refuse files and a folder that cannot be written, before the work; raises as `predict`."""
    check_file(request.plot, "plot", (".png",))
    check_file(request.maps, "maps", (".png",))
    check_folder(request.output)


def refuse_drawing(model: Model, request: PredictRequest) -> None:
    """Refuse to draw, or to write masks of, what is no picture.

    Raises:
        UsageError: the model takes something else.
    """
    if model.images.kind != "pictures" and (request.plot is not None or request.output is not None):
        raise UsageError("`plot`, `output`: draw and write pictures, and the model takes " + model.images.kind, "Leave them out.")


def answered(model: Model, pictures: Given, request: PredictRequest, say: Callable[[str], None]) -> PictureAnswers:
    """The answers, the maps drawn where they are asked for; raises as `predict`."""
    if request.maps is not None:
        write_atomically(request.maps, maps_of(model, pictures), field="maps")
        say(f"maps: {request.maps}")
    return task_of(model).predict(model, pictures, request, say)


def maps_of(model: Model, pictures: Given) -> bytes:
    """The first few pictures, each with the maps of the classes that are most probable at a place of it."""
    rows = []
    for name, item in zip(*pictures.first(MAPPED), strict=True):
        picture = own_pixels([item], model.images)
        logits = class_maps(model, [picture])
        shares = softmax(logits.reshape(len(logits), -1).T, model.calibration.temperature).T.reshape(logits.shape)  # (K, h, w)
        best = np.argsort(-shares.max((1, 2)), kind="stable")[:MAPS]
        maps = [(f"{short_name(model.classes[k])}: at most {shares[k].max():.0%}", shares[k]) for k in best.tolist()]
        rows.append(Mapped(Path(name).name, picture, maps, model.images.extent))
    return maps_picture(rows, title="The probability of classes at each place")


def asked_pictures(subject: Subject, request: PredictRequest, say: Callable[[str], None]) -> Given:
    """The pictures or samples that a request names, with their names; of a split of data those that `evaluate` measures.

    Raises:
        UsageError: a split is asked for of several folders.
        DataError: as of `readable_pictures`, `read_samples` and `open_labelled`.
    """
    from striate.data.folder import readable_pictures

    model = subject.trained
    if is_data(request, model):
        return of_split(subject, request, say).first(request.first)
    if model.images.kind != "pictures":
        read = [read_samples(file, model.images) for file in request.pictures]
        names = [name for some, _ in read for name in some]
        return Given(names, np.concatenate([samples for _, samples in read])).first(request.first)
    files = readable_pictures(request.pictures, skip_unreadable=request.skip_unreadable, say=say)
    return Given(list(map(str, files)), files).first(request.first)


def is_data(request: PredictRequest, model: Model) -> bool:
    """Return whether pictures are named by a split, by the name of a set where no such file is, or, of pictures, by an `.npz` file."""
    if request.split is not None:
        return True
    named = [path for path in request.pictures if str(path) in NAMED and not path.exists()]
    return bool(named) or (model.images.kind == "pictures" and any(path.suffix.lower() == ".npz" for path in request.pictures))


def of_split(subject: Subject, request: PredictRequest, say: Callable[[str], None]) -> Given:
    """The pictures of a split of the data that `pictures` names; those of a folder as their files."""
    if len(request.pictures) != 1:
        raise UsageError(f"{', '.join(map(str, request.pictures))}: a split is of one data set", "Name one set, folder or .npz file.")
    data = DataRequest(
        data=str(request.pictures[0]), skip_unreadable=request.skip_unreadable, data_dir=request.data_dir, download=request.download
    )
    images = subject.pictures(data, request.split, "predict", say)
    files = [Path(path) for path in images.paths]
    return Given(list(images.paths), files if all(file.is_file() for file in files) else np.asarray(images.images))


def answer_rows(predictions: PictureAnswers) -> list[list[str]]:
    """For each picture its name and, in words, its classes, the most probable ones or those of its pixels; or its numbers or labels."""
    return [[item.path, item.words] for item in predictions]
