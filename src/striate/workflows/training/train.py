"""Train a network on labelled pictures and write a run folder."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from striate.core.devices import choose_device
from striate.core.errors import UsageError, memory_in_words
from striate.core.files import write_atomically
from striate.core.locks import LOCK
from striate.core.places import near
from striate.core.text import in_lines
from striate.engine.checkpoints import Checkpoint
from striate.engine.processes import ProcessGroup, joined
from striate.models.fitting import fit_images
from striate.models.model import Model, load
from striate.networks.foreign import with_module
from striate.workflows.info import info
from striate.workflows.recipes.choices import (
    finds_rate,
)
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import write_record
from striate.workflows.tasks.registry import task_named
from striate.workflows.training.continuing import (
    Plan,
    asked_of,
    config_and_network,
    fingerprint,
    plan_of,
    refuse_changes,
    warn_of_other_conditions,
)
from striate.workflows.training.extending import early_end, extension_of, with_extensions
from striate.workflows.training.logs import check_packages, open_logs
from striate.workflows.training.lr_find import with_found_rate
from striate.workflows.training.planning import chosen, resolve
from striate.workflows.training.request import TargetScore, TrainReport, TrainRequest, ValScore
from striate.workflows.training.running import Observer, Outcome, QuietObserver, followed, metrics_of, run
from striate.workflows.training.runs import new_run_folder, refuse_used, removed_if_unbegun
from striate.workflows.training.sharing import (
    folder_for_all,
    is_restarted,
    latest_for_all,
    locked,
    refuse_other_plans,
    refuse_other_runs,
)
from striate.workflows.training.transfer import (
    given_module,
    is_module,
    with_kept_start,
    with_written_start,
)
from striate.workflows.training.unchanged import refuse_other_files

MORE_MEMORY = (
    "Train with a smaller `batch_size` or `image_size`, with a smaller network, or close other programs; "
    "what a run has saved stays, and `resume=RUN` continues from it."
)


def train(request: TrainRequest, *, observer: Observer | None = None) -> TrainReport:
    """Train a network as `request` says; the run folder holds the model after each better epoch.

    Raises:
        UsageError: a bad flag, an unknown network or data set, an image size that does not fit, a run folder that exists.
        DataError: the data is missing, unreadable, or has one class.
        NumericError: the loss is NaN or Inf; what was saved before stays.
        EnvironmentFault: no space or no permission for the run folder; or memory runs out, and not in an update, which would be divided.

    In a process that `torchrun` started, it trains together with the others; the first one alone writes, and talks to `observer`.
    """
    started = time.monotonic()
    choose_device(request.device or "auto")  # before anything is made
    check_packages(request.log)
    with memory_in_words(MORE_MEMORY), joined(request.device or "auto") as group:
        talking = observer is not None and (group is None or group.is_first)
        return train_in(group, request, observer if talking and observer is not None else QuietObserver(), started)


def train_in(group: ProcessGroup | None, request: TrainRequest, observer: Observer, started: float) -> TrainReport:
    """Train as `request` says, as one process of `group`."""
    if request.resume is not None:
        if request.recipe is not None:
            raise UsageError(
                "`recipe`: a run continues with the settings that it was started with", "Leave `recipe` out, or start a new run."
            )
        return resumed(request, request.resume, observer, started, group)
    again = is_restarted(request.output)
    if group is None and request.output is not None and not again:
        refuse_used(request.output)  # before the pictures are read
    plan, picture = resolve(request, observer, group), None
    if finds_rate(request):
        plan, picture = with_found_rate(plan, observer.say)
    refuse_other_plans(group, plan)
    folder = folder_for_all(group, lambda: folder_of(request, plan, again=again))
    with locked(folder, group, observer.say), removed_if_unbegun(folder, group):  # only who holds the lock may remove it
        start = (
            latest_for_all(RunFolder(folder).checkpoints, group, observer.say)
            if again and (RunFolder(folder).checkpoints / "latest").exists()
            else None
        )
        observer.say(in_lines([chosen(plan, folder), *([f"from      step {start.step:,}, after a restart"] if start is not None else [])]))

        def first(plan: Plan) -> Plan:
            return begin(folder, plan, picture, again=again) if start is None else plan

        return trained(request, plan, folder, observer, started, start, group, first)


def folder_of(request: TrainRequest, plan: Plan, *, again: bool) -> Path:
    """The folder of the run: a new one, or that of the same run where its processes were started `again`.

    One in which they had not come to describe themselves is taken as new: it holds a lock and no checkpoint.
    """
    if again and request.output is not None and (request.output / LOCK).exists():
        held = RunFolder(request.output)
        if held.is_run and held.has_network:
            refuse_other_runs(request.output, plan)
            return request.output
        if not held.checkpoints.exists():
            return request.output
    return new_run_folder("train", request.name or f"{plan.source.name}-{plan.fitting.network.name}", request.output)


def begin(folder: Path, plan: Plan, picture: bytes | None, *, again: bool) -> Plan:
    """Write the files of a run folder before the training: its definition, and the picture of a learning-rate range test.

    Gives the plan, whose configuration names the weights that the training begins with, where they were not fresh.
    """
    files = RunFolder(folder)
    if not again:
        refuse_used(folder)  # by a run that began and ended between the look at the folder and its lock
        files.clear_description()
    plan = with_written_start(plan, files)
    write_description(plan, files)
    if picture is not None:
        files.report.mkdir(exist_ok=True)
        write_atomically(files.report / "lr_find.png", picture)
    return plan


def write_description(plan: Plan, files: RunFolder) -> None:
    """Write the definition and the environment of the training."""
    files.write_config(plan.config)
    files.write_network(plan.fitting.network)
    files.write_env(info())
    files.write_classes(plan.source.classes)
    write_record(files.path, plan.record)


def resumed(request: TrainRequest, folder: Path, observer: Observer, started: float, group: ProcessGroup | None = None) -> TrainReport:
    """Continue the run in `folder` from its last checkpoint; bit for bit as if it had not stopped.

    With `epochs` "+N", a run is extended by N epochs; with a larger number than it has, to so many.

    A run that was stopped before its first checkpoint begins with what its folder says.

    Raises:
        UsageError: a setting or the data differs from the checkpoint's, or the run is done and not to be extended.
        RefusedFileError: there is no checkpoint, or none is whole; or a file of the run is not the one of the checkpoint.
        EnvironmentFault: another process is at work in the folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run folder", near(folder, "Give the folder that `striate train` wrote."))
    with locked(folder, group, observer.say):
        if RunFolder(folder).is_unstarted:
            return begun_again(request, folder, observer, started, group)
        start = latest_for_all(RunFolder(folder).checkpoints, group, observer.say)
        refuse_other_files(RunFolder(folder), start, observer.say)
        config, network = config_and_network(folder)
        if is_module(request.network):
            network, request = with_module(network, request.network), dataclasses.replace(request, network=None)
        kept = RunConfig.from_plain(start.state["config"], f"{start.folder}: the configuration")
        refuse_changes(folder, with_extensions(kept, config.extended_by, start).plain_as_asked(), config.plain_as_asked())
        refuse_other_settings(folder, config, request)
        begun = kept.extended_by != config.extended_by  # an extension, of which there is no checkpoint yet
        reached = None if begun else early_end(start, config.plain())
        extension = extension_of(request, config.plain(), folder, done=start.state["done"] and not begun, reached=reached)
        if extension is not None:
            config = with_extensions(config, (*config.extended_by, extension), start)
        plan = plan_of(folder, config, network, observer.say, data=request.data, data_dir=request.data_dir, verb=f"train --resume {folder}")
        if start.state["data"] != fingerprint(plan.train_set, plan.val_set):
            message = f"{folder}: the pictures or labels of {plan.source.name} have changed since the checkpoint"
            raise UsageError(message, "Start a new run.")
        warn_of_other_conditions(start.state["conditions"], group.size if group else 1, observer.say)
        refuse_other_plans(group, plan)
        if not RunFolder(folder).split.exists() and (group is None or group.is_first):
            write_record(folder, plan.record)  # of a run of an older version, whose data is what it was
        if extension is not None and (group is None or group.is_first):
            RunFolder(folder).write_extension(config)
        observer.say(in_lines([chosen(plan, folder), f"from      step {start.step:,}, epoch {start.state['training']['epoch']}"]))
        return trained(request, plan, folder, observer, started, start, group)


def refuse_other_settings(folder: Path, config: RunConfig, request: TrainRequest) -> None:
    """Refuse a request for other settings than the run's; of a reduced setting, both the effective and the requested value are accepted.

    Raises:
        UsageError: it asks for one.
    """
    known = config.plain_as_asked()
    wanted = asked_of(request, known)
    for name in config.asked:
        if wanted["settings"][name] == getattr(config.settings, name):
            wanted["settings"][name] = known["settings"][name]
    refuse_changes(folder, known, wanted)


def begun_again(request: TrainRequest, folder: Path, observer: Observer, started: float, group: ProcessGroup | None) -> TrainReport:
    """The run in `folder`, which was stopped before its first checkpoint, from its beginning, with the configuration that it has.

    Raises:
        DataError: it was stopped before it had one.
        UsageError: the request asks for another setting.
    """
    config, network = config_and_network(folder)
    if is_module(request.network):
        network, request = with_module(network, request.network), dataclasses.replace(request, network=None)
    refuse_other_settings(folder, config, request)
    if request.epochs not in (None, config.settings.epochs):
        raise UsageError(
            f"{folder}: has not started, `epochs={request.epochs!r}` cannot extend it", "Leave `epochs` out, or start a new run."
        )
    verb = f"train --resume {folder}"
    plan = plan_of(folder, config, network, observer.say, data=request.data, data_dir=request.data_dir, verb=verb)
    plan = with_kept_start(dataclasses.replace(plan, config=config.with_planned(config.planned)), folder)
    refuse_other_plans(group, plan)
    observer.say(f"{chosen(plan, folder)}\nfrom      the beginning: the run was stopped before its first checkpoint")

    def first(plan: Plan) -> Plan:
        write_description(plan, RunFolder(folder))
        return plan

    return trained(request, plan, folder, observer, started, None, group, first)


def trained(
    request: TrainRequest,
    plan: Plan,
    folder: Path,
    observer: Observer,
    started: float,
    start: Checkpoint | None = None,
    group: ProcessGroup | None = None,
    first: Callable[[Plan], Plan] = lambda plan: plan,
) -> TrainReport:
    """The training run to its end, its curves drawn, its logs ended, and the report; `first` is done when it is known that it can train."""
    if group is not None and not group.is_first:
        outcome = followed(plan, group, start=start, workers=request.workers)
        return report_of(plan, folder, outcome, time.monotonic() - started, measured=False)
    training = fit_images(plan.fitting, plan.train_set, plan.val_set, workers=request.workers, group=group)
    plan = first(plan)
    with open_logs(request.log, folder, plan.config.plain(), observer.say) as logs:
        outcome = run(
            plan,
            folder,
            observer,
            training=training,
            start=start,
            every=request.checkpoint_every,
            diagnose=request.diagnose,
            logs=logs,
            group=group,
        )
        report = finished(plan, folder, outcome, started)
        logs.status = "KILLED" if outcome.interrupted else "FINISHED"
    return report


def finished(plan: Plan, folder: Path, outcome: Outcome, started: float) -> TrainReport:
    """The curves drawn, and the report."""
    from striate.drawing.curves import curves_picture

    files = RunFolder(folder)
    files.report.mkdir(exist_ok=True)
    title = f"{plan.fitting.network.name} on {plan.source.name}"
    write_atomically(files.curves, curves_picture(metrics_of(outcome.rows, plan.fitting), title=title))
    return report_of(plan, folder, outcome, time.monotonic() - started)


def report_of(plan: Plan, folder: Path, outcome: Outcome, seconds: float, *, measured: bool = True) -> TrainReport:
    """The report of a training; `measured` reads the kept model for the measures that masks, labels and numbers have."""
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
        stopped_early=outcome.stopped_early,
        left_out=plan.source.left_out,
    )


def val_score(plan: Plan, folder: Path, outcome: Outcome) -> ValScore:
    """The kept model's measures on the validation split."""
    best, task = outcome.best, task_named(plan.fitting.task)
    accuracy = best.val_accuracy if task.has_accuracy else None
    measures = task.val_measures(best, lambda: kept_model(plan, folder), plan.val_set)
    if measures:
        return TargetScore(accuracy=accuracy, loss=best.val_loss, measures=measures)
    return ValScore(accuracy=accuracy, loss=best.val_loss)


def kept_model(plan: Plan, folder: Path) -> Model:
    """The model that the training kept."""
    return load(folder, module=given_module(plan.fitting.network))
