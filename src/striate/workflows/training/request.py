"""The request and the report of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.images import Fit, Kind, Normalization, StatisticsName
from striate.core.reports import shown_short
from striate.core.targets import Task
from striate.core.text import Lines, command, in_lines
from striate.data.augmentation.record import Policy
from striate.data.layout import Layout
from striate.data.omissions import Omission
from striate.data.reading import Role
from striate.engine.settings import (
    Count,
    Groups,
    LossName,
    MonitorName,
    Name,
    NotNegative,
    OptimizerName,
    PartialShare,
    Positive,
    ScheduleName,
    Share,
)
from striate.workflows.training.retention import Retention, retention_in_words

LogName = Literal["tensorboard", "mlflow"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class TrainRequest:
    """The network, data and settings of a training. None leaves a choice to the defaults, which report it; see `options` for each field."""

    data: Any = None  # a named set, a folder, a table, shards, an .npz file, or a pair of arrays (X, y)
    network: Any = None  # a name of the catalogue, timm:NAME, torchvision:NAME, a Network, or a torch module
    extend: Path | None = None  # a run with fewer classes
    pretrained: str | Path | None = None
    pretrain: Literal["autoencoder", "rbm"] | None = None
    unlabelled: Any = None
    task: Task | None = None  # None: as the targets of arrays say
    input_effect: str | None = None
    epochs: Count | str | None = None  # "+20" extends the run of `resume`
    steps: Count | None = None
    batch_size: Count | Literal["auto"] | None = None
    recipe: str | Path | None = None  # weaker than all that is said here
    loss: LossName | None = None
    learning_rate: Positive | Literal["find"] | None = None
    optimizer: OptimizerName | None = None
    momentum: PartialShare | None = None
    weight_decay: NotNegative | None = None
    l1: NotNegative | None = None
    schedule: ScheduleName | None = None
    warmup_epochs: NotNegative | None = None
    smoothing: Share | None = None
    max_grad_norm: Positive | None = None
    monitor: MonitorName | None = None
    patience: Count | None = None
    target: str | None = None
    image_size: Count | None = None
    fit: Fit | None = None
    crop_padding: int | None = None
    flip: bool | None = None
    mixup: float | None = None
    cutmix: float | None = None
    policy: Policy | None = None
    erasing: float | None = None
    normalization: Normalization | StatisticsName | None = None
    workers: Annotated[int, Field(ge=0)] = 0
    val_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    train_images: Count | None = None
    accumulate: Count | None = None
    ema: PartialShare | None = None
    adversarial: Literal["fgsm", "pgd"] | None = None
    adversarial_eps: float | None = None
    adversarial_steps: Count | None = None
    auxiliary: Name | Groups | None = None
    auxiliary_weight: Positive | None = None
    freeze: tuple[str, ...] | None = None
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    compile: bool | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    device: str | None = None
    deterministic: bool | None = None
    resume: Path | None = None  # then all else comes from there
    checkpoint_every: Count | None = None
    diagnose: bool = True
    learning_curve: bool = False
    log: tuple[LogName, ...] = ()  # beside metrics.csv and events.jsonl, which are always written
    output: Path | None = None
    name: str | None = None
    skip_unreadable: bool = False
    layout: Layout = "auto"
    drop: Path | None = None
    class_from: str | None = None
    columns: dict[Role, str] = Field(default_factory=dict)
    group: str | None = None
    separator: str | None = None
    root: Path | None = None
    set: dict[str, Any] = Field(default_factory=dict)  # "settings.step_gamma": 0.5, "augmentation.pad_mode": "reflect"
    data_dir: Path | None = None
    download: bool = False


class TrainingOptions(TypedDict, total=False):
    """The fields of `TrainRequest` as keyword arguments of a function, all but the data; `module` is a torch module to train."""

    network: Any
    extend: str | PathLike[str] | None
    pretrained: str | PathLike[str] | None
    pretrain: Literal["autoencoder", "rbm"] | None
    unlabelled: Any
    task: Task | None
    input_effect: str | None
    epochs: int | str | None
    steps: int | None
    batch_size: int | Literal["auto"] | None
    recipe: str | PathLike[str] | None
    loss: LossName | None
    learning_rate: float | Literal["find"] | None
    optimizer: OptimizerName | None
    momentum: float | None
    weight_decay: float | None
    l1: float | None
    schedule: ScheduleName | None
    warmup_epochs: float | None
    smoothing: float | None
    max_grad_norm: float | None
    monitor: MonitorName | None
    patience: int | None
    target: str | None
    image_size: int | None
    fit: Fit | None
    crop_padding: int | None
    flip: bool | None
    mixup: float | None
    cutmix: float | None
    policy: Policy | None
    erasing: float | None
    normalization: Normalization | StatisticsName | None
    workers: int
    val_fraction: float | None
    train_images: int | None
    accumulate: int | None
    ema: float | None
    adversarial: Literal["fgsm", "pgd"] | None
    adversarial_eps: float | None
    adversarial_steps: int | None
    auxiliary: str | Mapping[str, str] | None
    auxiliary_weight: float | None
    freeze: Sequence[str] | None
    precision: Literal["auto", "float32", "bfloat16"] | None
    compile: bool | None
    seed: int | None
    device: str | None
    deterministic: bool | None
    resume: str | PathLike[str] | None
    checkpoint_every: int | None
    diagnose: bool
    learning_curve: bool
    log: Sequence[LogName]
    output: str | PathLike[str] | None
    name: str | None
    skip_unreadable: bool
    layout: Layout
    drop: str | PathLike[str] | None
    class_from: str | None
    columns: Mapping[Role, str]
    group: str | None
    separator: str | None
    root: str | PathLike[str] | None
    set: Mapping[str, Any]
    data_dir: str | PathLike[str] | None
    download: bool
    module: Any


@dataclass(frozen=True, kw_only=True)
class ValScore:
    """The kept model's measures on the validation split."""

    accuracy: float | None  # of labels: the share of pictures that have exactly theirs; None: of numbers
    loss: float  # that of the training, without smoothing and class weights; of numbers in their deviations over the training pictures
    accuracy_interval: tuple[float, float] | None = None  # 95 %, over other pictures; None without an accuracy


@dataclass(frozen=True, kw_only=True)
class TargetScore(ValScore):
    """The same of numbers, labels or masks, which have measures of their own, of a training against an attack, and with a second task.

    Of classes macro_f1 or balanced_accuracy, where that is monitored; of numbers r2, mae, rmse; of labels mean_average_precision,
    macro_f1, micro_f1, subset_accuracy; of masks mean_iu and more; of pictures psnr, ssim, both of the inputs too, mae; of an attack
    robust_accuracy, under pgd; of an auxiliary task auxiliary_accuracy.
    """

    measures: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """The accuracy over all training pictures, each named by a head that was fitted to the other folds."""

    accuracy: float
    accuracy_interval: tuple[float, float]  # 95 %, over other pictures
    folds: int
    num_images: int


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """The accuracy of heads from so many pictures, on those of the other folds; the last point is extrapolated by a power law."""

    num_images: int
    accuracy: float
    accuracy_interval: tuple[float, float] | None  # 95 %, over other pictures; None of what is extrapolated


@shown_short
@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """The results of a training, and its folder."""

    run: str
    network: str
    data: str
    splits: tuple[str, ...]  # that the data has of its own
    params: int
    num_train: int
    num_val: int
    epochs: int  # begun
    steps: int
    seconds: float
    images_per_second: float  # while training, the median epoch
    best_epoch: int
    val: TargetScore | ValScore
    interrupted: bool
    stopped_early: bool = False  # by `patience`
    left_out: tuple[Omission, ...] = ()  # what was found in the data and is not read, by the reason
    retention: Retention | None = None  # what of the extended run is kept
    kind: Kind | None = None  # of samples that are no pictures
    zeros: int | None = None  # parameters of the kept model that are exactly 0, of a training with L1
    cross_validation: CrossValidation | None = None  # of a fitted head that was kept as it is
    learning_curve: tuple[LearningPoint, ...] = ()  # of heads like the fitted one, where it was asked for


def summary(report: TrainReport) -> Lines:
    """The report as text."""
    split = "test" if "test" in report.splits else "val"
    scores = {"accuracy": report.val.accuracy, **(report.val.measures if isinstance(report.val, TargetScore) else {})}
    measured = [
        f"{name.replace('_', ' ').replace('f1', 'F1').replace('psnr', 'PSNR').replace('ssim', 'SSIM')} {value:.4f}"
        for name, value in scores.items()
        if value is not None
    ]
    if report.val.accuracy_interval is not None:
        measured[0] += " (95 % interval {:.4f} to {:.4f})".format(*report.val.accuracy_interval)
    words = ", ".join(measured)
    early = ", stopped early" if report.stopped_early else ""
    length = f"epoch {report.best_epoch} of {report.epochs}{early}" if report.epochs or report.steps else "of the head alone"
    following = command("striate", "evaluate", Path(report.run), "--split", split)
    zeros = [] if report.zeros is None else [f"zeros: {report.zeros:,} of {report.params:,} parameters are exactly 0"]
    return in_lines(
        (
            f"{report.network} on {report.data}: val {words}, loss {report.val.loss:.4f} ({length}), {report.seconds:.1f} s",
            *(retention_in_words(report.retention) if report.retention is not None else ()),
            *([f"accuracy  {cross_validation_in_words(report.cross_validation)}"] if report.cross_validation else []),
            *learning_in_words(report.learning_curve),
            *zeros,
            f"run: {report.run}",
            f"next: {following}",
            "",
        )
    )


def cross_validation_in_words(found: CrossValidation) -> str:
    """0.94, between 0.87 and 0.98 (95 %), from 80 pictures in 5 folds."""
    low, high = found.accuracy_interval
    return f"{found.accuracy:.2f}, between {low:.2f} and {high:.2f} (95 %), from {found.num_images:,} pictures in {found.folds} folds"


def learning_in_words(points: Sequence[LearningPoint]) -> list[str]:
    """The learning curve as a table, a line for each point."""
    lines: list[str] = []
    for point in points:
        interval = point.accuracy_interval
        known = "extrapolated" if interval is None else "between {:.2f} and {:.2f}".format(*interval)
        lines.append(f"{'' if lines else 'learning':<10}from {point.num_images:>6,} pictures {point.accuracy:.2f}, {known}")
    return lines
