"""Train a network on labelled pictures and leave a run folder behind."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.images import Fit, ImageSpec
from striate.data.named import NAMED
from striate.data.records import DataSource, ImageSet
from striate.data.sources import open_data
from striate.data.splits import split_train_val
from striate.estimators.fitting import EpochRow, Fitting, channel_statistics, fit_images
from striate.estimators.model import MODEL_NAME
from striate.networks.catalog import network as catalog_network
from striate.networks.model_file import save_model
from striate.networks.network import Network
from striate.workflows.info import info
from striate.workflows.recipes import augmentation_for, network_for, settings_for
from striate.workflows.runs import new_run_folder, write_json, write_metrics, write_yaml

__all__ = ["EpochRow", "TrainReport", "TrainRequest", "ValScore", "Watch", "summary", "train"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class TrainRequest:
    """What to train on what. None leaves a choice to the defaults, which say what they chose."""

    data: Any  # a named set, a folder, an .npz file, or a pair of arrays (X, y)
    network: Any = None  # a name of the catalogue, or a Network
    epochs: int | None = None
    steps: int | None = None  # exactly this many updates instead
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: Literal["sgd", "adam", "adamw"] | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: Literal["cosine", "step", "constant"] | None = None
    warmup_epochs: float | None = None
    smoothing: float | None = None
    max_grad_norm: float | None = None
    patience: int | None = None
    image_size: int | None = None
    fit: Fit | None = None
    crop_padding: int | None = None
    flip: bool | None = None
    val_fraction: float = 0.1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    seed: int = 0
    device: str = "auto"
    output: Path | None = None
    name: str | None = None
    skip_unreadable: bool = False
    set: dict[str, Any] = Field(default_factory=dict)  # more settings: "settings.step_gamma": 0.5, "augmentation.pad_mode": "reflect"
    data_dir: Path | None = None
    download: bool = False


@dataclass(frozen=True, kw_only=True)
class ValScore:
    """How the kept model does on the validation split."""

    accuracy: float
    loss: float  # cross-entropy, nats


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a training did and where it lies."""

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
    val: ValScore
    interrupted: bool


class Watch(Protocol):
    """Who follows a training."""

    def say(self, text: str) -> None:
        """A line for the person."""

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        """Update `step` of `num_steps` of `epoch` is done."""

    def epoch(self, row: EpochRow) -> None:
        """An epoch is done."""


class Silence:
    """Follows nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        """Nothing."""

    def epoch(self, row: EpochRow) -> None:
        """Nothing."""


def train(request: TrainRequest, *, watch: Watch | None = None) -> TrainReport:
    """Train a network as `request` says; the run folder holds the model after each better epoch.

    Raises:
        UsageError: a bad flag, an unknown network or data set, an image size that does not fit, a run folder that exists.
        DataError: the data is missing, unreadable, or has one class.
        NumericError: the loss is NaN or Inf; what was saved before stays.
        EnvironmentFault: no space or no permission for the run folder.
    """
    watch = watch or Silence()
    started = time.monotonic()
    choose_device(request.device)  # before anything is made
    source = open_data(request.data, data_dir=request.data_dir, download=request.download, skip_unreadable=request.skip_unreadable)
    for note in source.notes:
        watch.say(note)
    network, fit = plan_network(request, source)
    train_set, val_set = read_train_and_val(request, source, network, fit, watch.say)
    spec = with_statistics(network, fit, train_set)
    settings = settings_for(network, len(train_set), request)
    augmentation = augmentation_for(source, spec, request)
    fitting = Fitting(network=network, images=spec, classes=source.classes, settings=settings, augmentation=augmentation)

    folder = new_run_folder("train", request.name or f"{source.name}-{network.name}", request.output)
    config = configuration(request, fitting)
    write_yaml(folder / "config.yaml", config)
    write_json(folder / "env.json", info())
    write_json(folder / "classes.json", list(source.classes))
    watch.say(chosen(fitting, source, train_set, val_set, folder))
    return run(fitting, train_set, val_set, source, folder, watch, started)


def plan_network(request: TrainRequest, source: DataSource) -> tuple[Network, Fit]:
    """The network for the data's classes, channels and size, and how pictures are fitted to it."""
    classes = len(source.classes)
    size: int | tuple[int, ...] | None = request.image_size
    if isinstance(request.network, Network):
        net = request.network
        if net.output_shape != (classes,):
            raise UsageError(f"{net.name} has outputs of shape {net.output_shape}, but {source.name} has {classes} classes")
        if net.input_shape[0] != source.channels and source.channels != 1:
            raise UsageError(f"{net.name} takes {net.input_shape[0]} channels, but the pictures of {source.name} have {source.channels}")
        if request.image_size is not None:
            net = net.with_input((net.input_shape[0], request.image_size, request.image_size))
            net.root.output_shape(net.input_shape)
    else:
        name = request.network or network_for(source)
        if size is None:
            size = default_size(name, source, named=request.network is not None)
        net = catalog_network(name, num_classes=classes, in_channels=source.channels, input_size=size)
    same = source.image_size == net.input_shape[1:]
    return net, request.fit or ("stretch" if same else "pad" if source.image_size is not None else "crop")


def default_size(name: str, source: DataSource, *, named: bool) -> int | tuple[int, int] | None:
    """The pictures' own size where they have one and the network takes it; else what the network was published for."""
    if source.image_size is None:
        return None if named else 128
    own = catalog_network(name)
    if max(source.image_size) <= 64 and own.fits((own.input_shape[0], *source.image_size)):
        return source.image_size
    return None


def read_train_and_val(
    request: TrainRequest, source: DataSource, network: Network, fit: Fit, say: Callable[[str], None]
) -> tuple[ImageSet, ImageSet]:
    """The decoded training and validation splits; without a val split a stratified, seeded one is made and said."""
    channels, height, width = network.input_shape
    spec = ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit=fit)
    train_set = source.read("train", spec=spec)
    if "val" in source.splits:
        return train_set, source.read("val", spec=spec)
    train_set, val_set = split_train_val(train_set, fraction=request.val_fraction, seed=request.seed)
    total = len(train_set) + len(val_set)
    say(f"no val split: {len(val_set):,} of the {total:,} training pictures are held out, stratified, seed {request.seed}")
    return train_set, val_set


def with_statistics(network: Network, fit: Fit, train_set: ImageSet) -> ImageSpec:
    """The preprocessing with the mean and deviation of each channel over (at most 10,000 evenly spaced) training pictures."""
    channels, height, width = network.input_shape
    step = max(1, len(train_set) // 10_000)
    mean, std = (tuple(round(value, 4) for value in values) for values in channel_statistics(np.asarray(train_set.images[::step])))
    return ImageSpec(height=height, width=width, channels=channels, mean=mean, std=std, fit=fit)


def configuration(request: TrainRequest, fitting: Fitting) -> dict[str, Any]:
    """Everything the run was made with, merged: plain data."""
    data = "arrays"
    if isinstance(request.data, str | Path):
        data = request.data if request.data in NAMED else str(Path(request.data).resolve())
    return {
        "data": data,
        "data_dir": str(request.data_dir.resolve()) if request.data_dir else None,
        "val_fraction": request.val_fraction,
        "val_seed": request.seed,  # of the division into train and val; --set may give the training another
        "skip_unreadable": request.skip_unreadable,
        "network": fitting.network.name,
        "num_classes": len(fitting.classes),
        "settings": TypeAdapter(type(fitting.settings)).dump_python(fitting.settings, mode="json"),
        "augmentation": dataclasses.asdict(fitting.augmentation),
        "images": TypeAdapter(ImageSpec).dump_python(fitting.images, mode="json"),
    }


def chosen(fitting: Fitting, source: DataSource, train_set: ImageSet, val_set: ImageSet, folder: Path) -> str:
    """What is about to be trained, in a few lines."""
    net, settings, spec, augmentation = fitting.network, fitting.settings, fitting.images, fitting.augmentation
    length = f"{settings.steps:,} steps" if settings.steps else f"{settings.epochs} epochs"
    schedule = (
        f"{settings.optimizer}, learning rate {settings.learning_rate:g} ({settings.schedule}), weight decay {settings.weight_decay:g}"
    )
    changes = [f"shift by up to {augmentation.crop_padding} px" if augmentation.crop_padding else "", "mirror" if augmentation.flip else ""]
    return "\n".join(
        (
            f"data      {source.name}: {len(train_set):,} train, {len(val_set):,} val, {len(source.classes)} classes",
            f"network   {net.name}: {net.params:,} parameters, {net.macs:,} MACs, input {spec.channels} x {spec.height} x {spec.width}",
            f"training  {length}, batch {settings.batch_size}, {schedule}",
            f"pictures  {spec.fit}; augmentation: {', '.join(filter(None, changes)) or 'none'}",
            f"run       {folder}",
        )
    )


def run(
    fitting: Fitting, train_set: ImageSet, val_set: ImageSet, source: DataSource, folder: Path, watch: Watch, started: float
) -> TrainReport:
    """Fit, and write what each epoch gives into `folder`."""
    from striate.workflows.pictures import curves_picture

    rows: list[EpochRow] = []
    best: EpochRow | None = None
    interrupted = False
    training = fit_images(fitting, train_set, val_set)
    for event in training.events:
        if event.row is None:
            watch.step(event.epoch, event.step_in_epoch, event.steps_in_epoch)
            continue
        rows.append(event.row)
        write_metrics(folder / "metrics.csv", [row._asdict() for row in rows])
        if event.is_best:
            best = event.row
            extra = {"data": source.name, "epoch": best.epoch, "val_accuracy": best.val_accuracy, "val_loss": best.val_loss}
            save_model(folder / MODEL_NAME, fitting.network, training.state(), classes=fitting.classes, images=fitting.images, info=extra)
        watch.epoch(event.row)
        interrupted = event.interrupted
    if best is None:
        raise UsageError("nothing was trained")
    (folder / "report").mkdir(exist_ok=True)
    write_atomically(folder / "report" / "curves.png", curves_picture([row._asdict() for row in rows]))
    return TrainReport(
        run=str(folder),
        network=fitting.network.name,
        data=source.name,
        splits=source.splits,
        params=fitting.network.params,
        num_train=len(train_set),
        num_val=len(val_set),
        epochs=len(rows),
        steps=rows[-1].step,
        seconds=round(time.monotonic() - started, 3),
        images_per_second=round(float(np.median([row.images_per_second for row in rows])), 1),
        best_epoch=best.epoch,
        val=ValScore(accuracy=best.val_accuracy, loss=best.val_loss),
        interrupted=interrupted,
    )


def summary(report: TrainReport) -> str:
    """The report for a person."""
    split = "test" if "test" in report.splits else "val"
    return (
        f"{report.network} on {report.data}: val accuracy {report.val.accuracy:.4f}, loss {report.val.loss:.4f} (epoch {report.best_epoch} "
        f"of {report.epochs}), {report.seconds:.1f} s\n"
        f"run: {report.run}\n"
        f"next: striate evaluate {report.run} --split {split}\n"
    )
