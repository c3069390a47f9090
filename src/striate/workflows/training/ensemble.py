"""The ensemble of the models of several training runs: its accuracy beside that of each, and one file that holds them all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.intervals import wilson_interval
from striate.models.loading import load
from striate.models.model import MARGIN_LOSSES, Model
from striate.workflows.recipes.choices import chosen_settings, with_recipe
from striate.workflows.subjects.labelled import DataRequest, open_labelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.workflows.training.repeat import RepeatRequest

ENSEMBLE_NAME = "ensemble.safetensors"


@dataclass(frozen=True, kw_only=True)
class Voted:
    """The accuracies on one split."""

    split: str
    num_images: int
    accuracies: list[float]  # of each model alone
    accuracy: float  # by the mean of the probabilities, as the ensemble's file answers
    accuracy_interval: tuple[float, float]  # 95 %, over other pictures
    majority_accuracy: float  # by the class that most of the models give; between equals, by the mean of the probabilities


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The models of all trainings as one."""

    model: str  # the file, which predict, evaluate and explain open as any other
    measured: list[Voted]  # on val; with `test`, on test too


def refuse_no_ensemble(request: RepeatRequest) -> None:
    """Refuse trainings whose models share no held-out pictures, have no probabilities, or that no file can hold together.

    Raises:
        UsageError: they are such.
    """
    from torch import nn

    if request.seeds is None:
        raise UsageError("an ensemble needs seeds: each picture of folds validates one model and trains the others", "Give `seeds=5`.")
    if (loss := chosen_settings(*with_recipe(request.training)).get("loss")) in MARGIN_LOSSES:
        raise UsageError(f"an ensemble needs probabilities, which the scores of `loss={loss!r}` are not", "Train with another loss.")
    if isinstance(request.training.network, nn.Module):
        raise UsageError("an ensemble cannot hold a torch module of its own", "Give a network of the catalogue, or a Network.")


def ensemble_of(runs: Sequence[str], folder: Path, request: RepeatRequest) -> Ensemble:
    """The models of `runs` as one, measured and written into `folder`.

    Raises:
        UsageError: they give no probabilities of classes.
    """
    models = [load(run) for run in runs]
    path = folder / ENSEMBLE_NAME
    Model.ensemble(models).save(path)
    splits = ("val", "test") if request.test else ("val",)
    return Ensemble(model=str(path), measured=[_measured(models, runs[0], split, request) for split in splits])


def _measured(models: Sequence[Model], run: str, split: str, request: RepeatRequest) -> Voted:
    """The accuracies on a split of the data of the trainings; their runs were asked for it before, and counted that."""
    training = request.training
    asked = DataRequest(data=training.data, data_dir=training.data_dir, skip_unreadable=training.skip_unreadable)
    images = open_labelled(models[0], run, asked, verb="repeat").read(split, lambda _text: None)
    probabilities = np.stack([model.probabilities(images.images) for model in models])  # (models, N, K)
    accuracies = [_share(answers, images.labels) for answers in probabilities.argmax(2)]
    together, majority = probabilities.mean(0).argmax(1), majority_of(probabilities)
    right = int((together == images.labels).sum())
    return Voted(
        split=split,
        num_images=len(images),
        accuracies=accuracies,
        accuracy=_share(together, images.labels),
        accuracy_interval=wilson_interval(right, len(images)),
        majority_accuracy=_share(majority, images.labels),
    )


def majority_of(probabilities: np.ndarray) -> np.ndarray:
    """The classes (N,) that most of the models answer, by probabilities (models, N, K); between equals, the more probable on average."""
    num_classes = probabilities.shape[2]
    votes = np.eye(num_classes)[probabilities.argmax(2)].sum(0)  # (N, K)
    chosen: np.ndarray = (votes + probabilities.mean(0) / 2).argmax(1)  # a half is less than a vote
    return chosen


def _share(answers: np.ndarray, labels: np.ndarray) -> float:
    return float((answers == labels).mean())
