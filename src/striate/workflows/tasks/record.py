"""A task: everything that depends on what a network gives for a picture, in one record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import pydantic

from striate.core.images import Fit, Kind
from striate.core.targets import Task
from striate.core.text import Lines
from striate.data.augmentation.record import Augmentation
from striate.data.omissions import Omission
from striate.data.recorded import Trained
from striate.data.records import DataSource, ImageSet
from striate.engine.epochs import EpochRow
from striate.engine.settings import LossName, MonitorName
from striate.models.estimates import Estimates
from striate.models.inputs import Given
from striate.models.model import Model, Predictions
from striate.models.restorer import Restorations
from striate.models.segmenter import Segmentations
from striate.networks.network import Network

if TYPE_CHECKING:
    from striate.workflows.predict import PredictRequest
    from striate.workflows.training.request import TrainRequest

AnyReport = TypeVar("AnyReport", bound="SplitFacts")
MEASURES = "measures.json"  # of the folder that is written to
PictureAnswers = Predictions | Segmentations | Estimates | Restorations
Say = Callable[[str], None]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """The part that reports of all tasks share: the pictures that were measured, and where the report's pictures and tables lie."""

    split: str  # "all": of data without splits that the model was not trained on
    model: str
    data: str
    output: str | None
    test_openings: int | None = None  # how often the run's test split was opened, this time counted
    trained_among: Trained | None = None  # pictures of it that the model was trained on; None: not recorded, or train and val of the run
    kind: Kind | None = None  # of samples that are no pictures


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Pictures that a model is measured on, and what the report says of them."""

    images: ImageSet  # with their labels, as the model takes them
    split: str
    model: str  # what the report calls it
    data: str
    output: Path | None  # the folder to write to; None writes nothing
    batch_size: int = 128
    test_openings: int | None = None
    trained_among: Trained | None = None
    left_out: tuple[Omission, ...] = ()
    slices: tuple[str, ...] = ()  # columns of the data, whose values are measured apart

    @property
    def kind(self) -> Kind | None:
        """The kind of samples that are no pictures."""
        return None if self.images.kind == "pictures" else self.images.kind

    def report(self, record: type[AnyReport], measures: Any, **more: Any) -> AnyReport:
        """The report of `measures`, with what the report of every task says of the pictures, and the fields of `more`."""
        found = {field.name: getattr(measures, field.name) for field in dataclasses.fields(measures)}
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(SplitFacts)}
        return record(**found, **facts | {"output": str(self.output) if self.output is not None else None}, **more)


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A task: one class per picture, several labels, numbers, a class for each pixel, or a picture.

    Attributes:
        name: As `task=` has it.
        single_class: Whether a picture has one class, which can be attacked, explained and calibrated.
        gives_classes: Whether the outputs are scores of classes that exclude each other, of pictures or of pixels.
        has_accuracy: Whether an answer is right or wrong.
        mirrors: Whether the answer to a mirrored picture is the answer mirrored, whatever the data, so that it may be learned from.
        pixels_as_they_are: Whether the network sees values from 0 to 1, and not of mean 0 and deviation 1 over the training set.
        outputs: What the outputs are called, one and several.
        losses: It can be trained on, its own first; any where there are none.
        settings: Its own defaults beside the loss.
        monitored: The measures of validation that can choose the kept epoch.
        network: The catalogue's network for it; None: by the size of the pictures.
        plan_network: Its network for the data, and how pictures are fitted to it; None: as for classes.
        augmentation: What is left of a recipe's augmentation; None: what suits the pictures.
        report: The record of its measures on a split.
        evaluate: Measures a model, and writes its tables and pictures.
        summary: The report as text.
        predict: Answers pictures; raises where it has nothing to draw or to write.
        val_measures: What a training reports beside accuracy and loss, by the row of its kept epoch, the kept model, which is loaded where
            it is asked for, and the validation split.
    """

    name: Task
    single_class: bool = False
    gives_classes: bool = False
    has_accuracy: bool = True
    mirrors: bool = False
    pixels_as_they_are: bool = False
    outputs: tuple[str, str] = ("class", "classes")
    losses: tuple[LossName, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    monitored: tuple[MonitorName, ...] = get_args(MonitorName)
    network: str | None = None
    plan_network: Callable[[TrainRequest, Network | str | None, DataSource], tuple[Network, Fit]] | None = None
    augmentation: Callable[[Augmentation | None], Augmentation | None] = lambda base: base
    report: type[Any]
    evaluate: Callable[[Model, Measured], Any]
    summary: Callable[[Any], Lines]
    predict: Callable[[Model, Given, PredictRequest, Say], PictureAnswers]
    val_measures: Callable[[EpochRow, Callable[[], Model], ImageSet], dict[str, float | None]]

    def loss_like(self, loss: LossName) -> LossName:
        """The loss where the task can be trained on it, else the task's own."""
        return loss if not self.losses or loss in self.losses else self.losses[0]
