"""Train a network on labelled pictures and leave a run folder behind."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.images import Fit, ImageSpec, Normalization
from striate.core.locks import LOCK
from striate.core.targets import Task
from striate.data.augmentation.record import Augmentation, Policy
from striate.data.masks import MaskedSet, MaskSource
from striate.data.named import NAMED
from striate.data.records import DataSource, ImageSet
from striate.data.targets import target_spec
from striate.engine.checkpoints import Checkpoint
from striate.engine.processes import Group, joined
from striate.engine.schedules import extended
from striate.engine.settings import LossName, OptimizerName, ScheduleName, TrainSettings
from striate.estimators.fitting import EpochRow, Fitting, channel_statistics
from striate.estimators.model import Model, load
from striate.estimators.transfer import Weights
from striate.networks.catalog import network as catalog_network
from striate.networks.foreign import with_module
from striate.networks.network import Network
from striate.workflows.info import info
from striate.workflows.recipes.choices import (
    augmentation_for,
    choices_of,
    completed,
    finds_rate,
    network_for,
    settings_for,
    with_checked_fields,
)
from striate.workflows.tasks.segment import pixel_measures, plan_pixel_network
from striate.workflows.tasks.targets import suited_to, val_measures
from striate.workflows.training.batch_size import AUTO, auto_batch_size
from striate.workflows.training.continuing import (
    Plan,
    asked_of,
    config_and_network,
    fingerprint,
    open_source,
    plan_of,
    read_train_and_val,
    refuse_changes,
    warn_of_other_conditions,
)
from striate.workflows.training.logs import LogName, check_packages, open_logs
from striate.workflows.training.lr_find import with_found_rate
from striate.workflows.training.running import CHECKPOINTS, Outcome, Silence, Watch, followed, metrics_of, run
from striate.workflows.training.runs import new_run_folder, write_json, write_yaml
from striate.workflows.training.sharing import (
    agreed,
    folder_for_all,
    is_restarted,
    latest_for_all,
    locked,
    may_restart,
    refuse_other_plans,
    refuse_other_runs,
)
from striate.workflows.training.transfer import (
    asked_weights,
    frozen_in_words,
    given_module,
    is_module,
    keep_start,
    network_of_weights,
    pretrained_name,
    started_from,
    with_gentle_rate,
    with_own_module,
    with_pretrained_layers,
)

__all__ = ["EpochRow", "Silence", "TrainReport", "TrainRequest", "ValScore", "Watch", "summary", "train"]

VAL_FRACTION = 0.1  # of the training split, where there is no val split


CURVES = Path("report") / "curves.png"  # of a run folder; the last file that a training writes


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class TrainRequest:
    """What to train on what. None leaves a choice to the defaults, which say what they chose."""

    data: Any = None  # a named set, a folder, an .npz file, or a pair of arrays (X, y)
    network: Any = None  # a name of the catalogue, timm:NAME, torchvision:NAME, a Network, or a torch module
    pretrain: Literal["autoencoder", "rbm"] | None = None  # the first two layers, without labels
    unlabelled: Any = None  # more pictures for that: a folder of them, or data as above
    pretrained: str | Path | None = None  # weights to begin with: timm, a run folder, or a .safetensors file
    task: Task | None = None  # segment: a class for each pixel, of a folder of images/ and masks/; None: as the targets of arrays say
    epochs: int | str | None = None  # "+20" extends the run of `resume`
    steps: int | None = None  # exactly this many updates instead
    batch_size: int | Literal["auto"] | None = None  # auto: what the memory has room for
    recipe: str | Path | None = None  # the name of a recipe, or a YAML file: weaker than all that is said here
    loss: LossName | None = None
    learning_rate: float | Literal["find"] | None = None  # find: by a range test
    optimizer: OptimizerName | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: ScheduleName | None = None
    warmup_epochs: float | None = None
    smoothing: float | None = None
    max_grad_norm: float | None = None
    patience: int | None = None
    image_size: int | None = None
    fit: Fit | None = None
    crop_padding: int | None = None
    flip: bool | None = None
    mixup: float | None = None
    cutmix: float | None = None
    policy: Policy | None = None
    erasing: float | None = None
    normalization: Normalization | None = None
    workers: int = 0  # threads that prepare batches while others train; they are the same batches
    val_fraction: float | None = None  # of train, where there is no val split; None: a tenth
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    compile: bool | None = None
    seed: int | None = None
    device: str | None = None
    resume: Path | None = None  # the run folder to go on with; then all else comes from there
    checkpoint_every: int | None = None  # updates between two checkpoints; None lets the time decide
    diagnose: bool = True  # say what goes wrong while it trains
    log: tuple[LogName, ...] = ()  # beside metrics.csv and events.jsonl, which are always written
    accumulate: int | None = None
    ema: float | None = None
    adversarial: Literal["fgsm", "pgd"] | None = None  # train on pictures that this attack changes
    adversarial_eps: float | None = None  # by so much at most, as a share of a pixel's range
    adversarial_steps: int | None = None  # of pgd, under which is validated also where fgsm trains
    freeze: tuple[str, ...] | None = None
    deterministic: bool | None = None
    output: Path | None = None
    name: str | None = None
    skip_unreadable: bool = False
    set: dict[str, Any] = Field(default_factory=dict)  # more settings: "settings.step_gamma": 0.5, "augmentation.pad_mode": "reflect"
    data_dir: Path | None = None
    download: bool = False


@dataclass(frozen=True, kw_only=True)
class ValScore:
    """How the kept model does on the validation split."""

    accuracy: float | None  # of labels: the share of pictures that have exactly theirs; None: of numbers
    loss: float  # that of the training, without smoothing and class weights; of numbers in their deviations over the training pictures


@dataclass(frozen=True, kw_only=True)
class TargetScore(ValScore):
    """The same of numbers, labels or masks, which have measures of their own, and of a training against an attack.

    Of numbers r2, mae, rmse; of labels mean_average_precision, macro_f1, micro_f1, subset_accuracy; of masks mean_iu and more; of an
    attack robust_accuracy, under pgd.
    """

    measures: dict[str, float | None]


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
    val: TargetScore | ValScore
    interrupted: bool


def train(request: TrainRequest, *, watch: Watch | None = None) -> TrainReport:
    """Train a network as `request` says; the run folder holds the model after each better epoch.

    Raises:
        UsageError: a bad flag, an unknown network or data set, an image size that does not fit, a run folder that exists.
        DataError: the data is missing, unreadable, or has one class.
        NumericError: the loss is NaN or Inf; what was saved before stays.
        EnvironmentFault: no space or no permission for the run folder.

    In a process that `torchrun` started, it trains together with the others; the first one alone writes, and talks to `watch`.
    """
    started = time.monotonic()
    choose_device(request.device or "auto")  # before anything is made
    check_packages(request.log)
    with joined(request.device or "auto") as group:
        talking = watch is not None and (group is None or group.is_first)
        return train_in(group, request, watch if talking and watch is not None else Silence(), started)


def train_in(group: Group | None, request: TrainRequest, watch: Watch, started: float) -> TrainReport:
    """Train as `request` says, as one process of `group`."""
    if request.resume is not None:
        if request.recipe is not None:
            raise UsageError("--recipe: a run goes on with what it was begun with", "Leave --recipe out, or start a new run.")
        return resumed(request, request.resume, watch, started, group)
    plan, picture = planned(request, watch, group), None
    if finds_rate(request):
        plan, picture = with_found_rate(plan, watch.say)
    refuse_other_plans(group, plan)
    again = is_restarted(request.output)
    folder = folder_for_all(group, lambda: folder_of(request, plan, again=again))
    with locked(folder, group, watch.say):
        start = latest_for_all(folder / CHECKPOINTS, group, watch.say) if again and (folder / CHECKPOINTS / "latest").exists() else None
        if start is None and (group is None or group.is_first):
            begin(folder, plan, picture)
        watch.say(chosen(plan, folder) + (f"\nfrom      step {start.step:,}, after a restart" if start is not None else ""))
        return trained(request, plan, folder, watch, started, start, group)


def folder_of(request: TrainRequest, plan: Plan, *, again: bool) -> Path:
    """The folder of the run: a new one, or that of the same run where its processes were started `again`.

    One in which they had not come to describe themselves is taken as new: it holds a lock and no checkpoint.
    """
    if again and request.output is not None and (request.output / LOCK).exists():
        if all((request.output / name).exists() for name in ("config.yaml", "network.json")):
            refuse_other_runs(request.output, plan)
            return request.output
        if not (request.output / CHECKPOINTS).exists():
            return request.output
    return new_run_folder("train", request.name or f"{plan.source.name}-{plan.fitting.network.name}", request.output)


def begin(folder: Path, plan: Plan, picture: bytes | None) -> None:
    """Write what a run folder holds before the training: what it is made of, and the picture of a learning rate that was looked for."""
    keep_start(plan, folder)
    write_yaml(folder / "config.yaml", plan.config)
    write_atomically(folder / "network.json", plan.fitting.network.to_json().encode())
    write_json(folder / "env.json", info())
    write_json(folder / "classes.json", list(plan.source.classes))
    if picture is not None:
        (folder / "report").mkdir(exist_ok=True)
        write_atomically(folder / "report" / "lr_find.png", picture)


def planned(request: TrainRequest, watch: Watch, group: Group | None = None) -> Plan:
    """The training that `request` asks for, its pictures read; what the memory decides, the first process of `group` decides for all."""
    choices = choices_of(request.recipe)
    request = completed(request, choices)
    val_fraction = VAL_FRACTION if request.val_fraction is None else request.val_fraction
    source = open_source(
        request.data, request.task, data_dir=request.data_dir, download=request.download, skip_unreadable=request.skip_unreadable
    )
    for note in source.notes:
        watch.say(note)
    request = with_own_module(request, source)
    weights = asked_weights(request, source)
    network, fit = plan_network(request, source, weights)
    channels, height, width = network.input_shape
    spec = ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit=fit)
    spec = dataclasses.replace(spec, normalization=request.normalization or spec.normalization)
    train_set, val_set = read_train_and_val(source, spec, val_fraction, request.seed or 0, watch.say)
    spec = with_statistics(spec, train_set)
    start = None
    if weights is not None:
        spec = weights.normalized(spec) if request.normalization is None else spec
        start = started_from(weights, network, source.classes, watch.say)

    def fitting_for(request: TrainRequest) -> Fitting:
        settings = with_gentle_rate(settings_for(network, len(train_set), request, choices, source.task), request)
        return Fitting(
            network=network,
            images=spec,
            classes=source.classes,
            settings=suited_to(source.task, settings),
            augmentation=augmentation_for(source, spec, request, choices, choices.augmentation_of(network, len(train_set))),
            targets=target_spec(source.task, train_set.labels),
            start=start,
        )

    if request.batch_size == AUTO:
        trial = fitting_for(dataclasses.replace(request, batch_size=None))
        size = agreed(group, lambda: str(auto_batch_size(trial, train_set, watch.say)))
        request = dataclasses.replace(request, batch_size=int(size))
    fitting = with_pretrained_layers(fitting_for(request), train_set, request, watch.say)
    return Plan(fitting=fitting, source=source, train_set=train_set, val_set=val_set, config=configuration(request, fitting, val_fraction))


def resumed(request: TrainRequest, folder: Path, watch: Watch, started: float, group: Group | None = None) -> TrainReport:
    """Go on with the run in `folder` from its last checkpoint; bit for bit as if it had not stopped.

    With `epochs` "+N", a run is extended by N epochs; with a larger number than it has, to so many.

    Raises:
        UsageError: a setting or the data differs from the checkpoint's, or the run is done and not to be extended.
        RefusedFileError: there is no checkpoint, or none is whole.
        EnvironmentFault: another process is at work in the folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run folder", "Name the folder that `striate train` left.")
    with locked(folder, group, watch.say):
        start = latest_for_all(folder / CHECKPOINTS, group, watch.say)
        config, network = config_and_network(folder)
        if is_module(request.network):
            network, request = with_module(network, request.network), dataclasses.replace(request, network=None)
        refuse_changes(folder, with_extensions(start.state["config"], config["extended_by"], start), config)
        refuse_changes(folder, config, asked_of(request, config))
        begun = start.state["config"]["extended_by"] != config["extended_by"]  # an extension, of which there is no checkpoint yet
        extension = extension_of(request, config, folder, done=start.state["done"] and not begun)
        if extension:
            config = with_extensions(config, [*config["extended_by"], extension], start)
        plan = plan_of(folder, config, network, watch.say, data=request.data, data_dir=request.data_dir)
        if start.state["data"] != fingerprint(plan.train_set, plan.val_set):
            message = f"{folder}: the pictures or labels of {plan.source.name} have changed since the checkpoint"
            raise UsageError(message, "Start a new run.")
        warn_of_other_conditions(start.state["conditions"], group.size if group else 1, watch.say)
        refuse_other_plans(group, plan)
        if extension and (group is None or group.is_first):
            write_yaml(folder / "config.yaml", config)
        watch.say(f"{chosen(plan, folder)}\nfrom      step {start.step:,}, epoch {start.state['training']['epoch']}")
        return trained(request, plan, folder, watch, started, start, group)


def with_extensions(config: dict[str, Any], extensions: list[int], start: Checkpoint) -> dict[str, Any]:
    """`config`, extended by those of `extensions` (epochs) that it does not have yet."""
    settings = with_checked_fields(TrainSettings, **config["settings"])
    for added in extensions[len(config["extended_by"]) :]:
        settings = extended(settings, added, start.state["steps_per_epoch"])
    return {**config, "settings": TypeAdapter(TrainSettings).dump_python(settings, mode="json"), "extended_by": extensions}


def extension_of(request: TrainRequest, config: dict[str, Any], folder: Path, *, done: bool) -> int | None:
    """By how many epochs the run is to be extended; None for not at all.

    Raises:
        UsageError: `epochs` is not "+N" or fewer than the run has, or the run is done and not extended; or `torchrun` may start the
            processes again, which would add N each time.
    """
    planned: int = config["settings"]["epochs"]
    if isinstance(request.epochs, str):
        added = added_epochs(request.epochs)
        if may_restart():
            message = f"--epochs {request.epochs}: torchrun --max-restarts would extend the run again at each start"
            in_epochs = config["settings"]["steps"] is None
            raise UsageError(message, f"Say the total: --epochs {planned + added}." if in_epochs else "Leave --max-restarts out.")
        return added
    if request.epochs is not None and request.epochs > planned and config["settings"]["steps"] is None:
        return request.epochs - planned
    if request.epochs not in (None, planned):
        message = f"{folder}: has {planned} epochs, --epochs says {request.epochs}"
        raise UsageError(message, "Extend a run with --epochs +N, or to a larger number of epochs.")
    if done and (folder / CURVES).exists():  # else it was stopped while the report was written, which is done again
        raise UsageError(f"{folder}: the run is done", "Extend it with --epochs +N.")
    return None


def added_epochs(text: str) -> int:
    """N of "+N".

    Raises:
        UsageError: it is something else.
    """
    if not (text.startswith("+") and text[1:].isdigit() and int(text[1:]) > 0):
        raise UsageError(
            f"--epochs {text}: must be a number, or +N with --resume", "For example --epochs 20, or --resume RUN --epochs +20."
        )
    return int(text[1:])


def trained(
    request: TrainRequest,
    plan: Plan,
    folder: Path,
    watch: Watch,
    started: float,
    start: Checkpoint | None = None,
    group: Group | None = None,
) -> TrainReport:
    """The training run to its end, its curves drawn, its logs ended, and the report."""
    if group is not None and not group.is_first:
        outcome = followed(plan, group, start=start, workers=request.workers)
        return report_of(plan, folder, outcome, time.monotonic() - started, measured=False)
    with open_logs(request.log, folder, plan.config, watch.say) as logs:
        outcome = run(
            plan,
            folder,
            watch,
            start=start,
            every=request.checkpoint_every,
            diagnose=request.diagnose,
            workers=request.workers,
            logs=logs,
            group=group,
        )
        report = finished(plan, folder, outcome, started)
        logs.status = "KILLED" if outcome.interrupted else "FINISHED"
    return report


def finished(plan: Plan, folder: Path, outcome: Outcome, started: float) -> TrainReport:
    """The curves drawn, and the report."""
    from striate.workflows.pictures import curves_picture

    (folder / "report").mkdir(exist_ok=True)
    write_atomically(folder / CURVES, curves_picture(metrics_of(outcome.rows, plan.fitting)))
    return report_of(plan, folder, outcome, time.monotonic() - started)


def plan_network(request: TrainRequest, source: DataSource, weights: Weights | None = None) -> tuple[Network, Fit]:
    """The network for the data's classes, channels and size, or that of the weights, and how pictures are fitted to it."""
    if isinstance(source, MaskSource):
        return plan_pixel_network(request, source)
    classes = len(source.classes)
    size: int | tuple[int, ...] | None = request.image_size
    if isinstance(request.network, Network):
        net = request.network
        if net.output_shape != (classes,):
            raise UsageError(f"{net.name} has outputs of shape {net.output_shape}, but {source.name} has {outputs_in_words(source)}")
        if net.input_shape[0] != source.channels and source.channels != 1:
            raise UsageError(f"{net.name} takes {net.input_shape[0]} channels, but the pictures of {source.name} have {source.channels}")
        if request.image_size is not None:
            net = net.with_input((net.input_shape[0], request.image_size, request.image_size))
            net.root.output_shape(net.input_shape)
    elif weights is not None:
        net = network_of_weights(request, source, weights)
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


def with_statistics(spec: ImageSpec, train_set: ImageSet) -> ImageSpec:
    """`spec` with the mean and deviation of each channel over (at most 10,000 evenly spaced) training pictures."""
    step = max(1, len(train_set) // 10_000)
    mean, std = (tuple(round(value, 4) for value in values) for values in channel_statistics(np.asarray(train_set.images[::step])))
    return dataclasses.replace(spec, mean=mean, std=std)


def configuration(request: TrainRequest, fitting: Fitting, val_fraction: float) -> dict[str, Any]:
    """Everything the run was made with, merged: plain data."""
    data = "arrays"
    if isinstance(request.data, str | Path):
        data = request.data if request.data in NAMED else str(Path(request.data).resolve())
    return {
        "data": data,
        "task": fitting.targets.task if fitting.targets is not None else request.task,
        "data_dir": str(request.data_dir.resolve()) if request.data_dir else None,
        "val_fraction": val_fraction,
        "val_seed": request.seed or 0,  # of the division into train and val; --set may give the training another
        "skip_unreadable": request.skip_unreadable,
        "network": fitting.network.name,
        "extended_by": [],
        "pretrained": pretrained_name(request.pretrained),
        "pretrain": request.pretrain,
        "start_sha256": None,  # of the weights that the training starts from, where they are not fresh
        "num_classes": len(fitting.classes),
        "settings": TypeAdapter(type(fitting.settings)).dump_python(fitting.settings, mode="json"),
        "augmentation": dataclasses.asdict(fitting.augmentation),
        "images": TypeAdapter(ImageSpec).dump_python(fitting.images, mode="json"),
    }


def chosen(plan: Plan, folder: Path) -> str:
    """What is about to be trained, in a few lines."""
    fitting, source = plan.fitting, plan.source
    net, settings, spec = fitting.network, fitting.settings, fitting.images
    length = f"{settings.steps:,} steps" if settings.steps else f"{settings.epochs} epochs"
    schedule = (
        f"{settings.optimizer}, learning rate {settings.learning_rate:g} ({settings.schedule}), weight decay {settings.weight_decay:g}"
    )
    return "\n".join(
        (
            f"data      {source.name}: {len(plan.train_set):,} train, {len(plan.val_set):,} val, {outputs_in_words(source)}",
            f"network   {net.name}: {net.params:,} parameters, {net.macs:,} MACs, input {spec.channels} x {spec.height} x {spec.width}",
            f"training  {length}, batch {settings.batch_size}, {schedule}",
            *attack_in_words(settings),
            *frozen_in_words(settings),
            f"pictures  {spec.fit}; augmentation: {changes_of(fitting.augmentation)}",
            f"run       {folder}",
        )
    )


def attack_in_words(settings: TrainSettings) -> tuple[str, ...]:
    """The attack that is trained against, where there is one."""
    if settings.adversarial is None:
        return ()
    size = f"{settings.adversarial_norm} eps {settings.adversarial_eps:.4g} of a pixel's range"
    return (f"against   {settings.adversarial}, {size}; val: pgd of {settings.adversarial_steps} steps",)


def changes_of(augmentation: Augmentation) -> str:
    """The changes of a record in words: those that are on."""
    words = [f"shift by up to {augmentation.crop_padding} px" if augmentation.crop_padding else "", "mirror" if augmentation.flip else ""]
    for field in dataclasses.fields(augmentation):
        value = getattr(augmentation, field.name)
        if field.name not in ("crop_padding", "flip") and value != field.default:
            words.append(f"{field.name} {value}")
    return ", ".join(filter(None, words)) or "none"


def report_of(plan: Plan, folder: Path, outcome: Outcome, seconds: float, *, measured: bool = True) -> TrainReport:
    """What a training came to; `measured` reads the kept model for the measures that masks, labels and numbers have."""
    return TrainReport(
        run=str(folder),
        network=plan.fitting.network.name,
        data=plan.source.name,
        splits=plan.source.splits,
        params=plan.fitting.network.params,
        num_train=len(plan.train_set),
        num_val=len(plan.val_set),
        epochs=outcome.rows[-1].epoch,
        steps=outcome.step,
        seconds=round(seconds, 3),
        images_per_second=round(float(np.median([row.images_per_second for row in outcome.rows])), 1),
        best_epoch=outcome.best.epoch,
        val=val_score(plan, folder, outcome) if measured else ValScore(accuracy=outcome.best.val_accuracy, loss=outcome.best.val_loss),
        interrupted=outcome.interrupted,
    )


def outputs_in_words(source: DataSource) -> str:
    """How many classes, labels or numbers the data has."""
    one, more = {"regression": ("number", "numbers"), "multilabel": ("label", "labels")}.get(source.task, ("class", "classes"))
    return f"{len(source.classes)} {one if len(source.classes) == 1 else more}"


def val_score(plan: Plan, folder: Path, outcome: Outcome) -> ValScore:
    """How the kept model does on the validation split."""
    best, targets = outcome.best, plan.fitting.targets
    if isinstance(plan.val_set, MaskedSet):
        return TargetScore(accuracy=best.val_accuracy, loss=best.val_loss, measures=pixel_measures(kept_model(plan, folder), plan.val_set))
    if best.val_robust_accuracy is not None:
        return TargetScore(accuracy=best.val_accuracy, loss=best.val_loss, measures={"robust_accuracy": best.val_robust_accuracy})
    if targets is None:
        return ValScore(accuracy=best.val_accuracy, loss=best.val_loss)
    accuracy = None if targets.task == "regression" else best.val_accuracy
    return TargetScore(accuracy=accuracy, loss=best.val_loss, measures=val_measures(kept_model(plan, folder), plan.val_set))


def kept_model(plan: Plan, folder: Path) -> Model:
    """The model that the training kept."""
    return load(folder, module=given_module(plan.fitting.network))


def summary(report: TrainReport) -> str:
    """The report for a person."""
    split = "test" if "test" in report.splits else "val"
    scores = {"accuracy": report.val.accuracy, **(report.val.measures if isinstance(report.val, TargetScore) else {})}
    words = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in scores.items() if value is not None)
    return (
        f"{report.network} on {report.data}: val {words}, loss {report.val.loss:.4f} (epoch {report.best_epoch} "
        f"of {report.epochs}), {report.seconds:.1f} s\n"
        f"run: {report.run}\n"
        f"next: striate evaluate {report.run} --split {split}\n"
    )
