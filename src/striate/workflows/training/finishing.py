"""Running a planned training to its end: its curves, its logs and its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.core.devices import bfloat16_slowdown, choose_device, is_bfloat16_fast
from striate.core.files import write_atomically, write_json
from striate.core.intervals import wilson_interval
from striate.core.reports import write_files
from striate.engine.checkpoints import Checkpoint
from striate.engine.processes import ProcessGroup
from striate.models.fitting import fit_images
from striate.models.loading import load
from striate.workflows.info import info
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import write_record
from striate.workflows.tasks.registry import task_named
from striate.workflows.training.continuing import Plan
from striate.workflows.training.logs import open_logs
from striate.workflows.training.request import TargetScore, TrainReport, TrainRequest, ValScore
from striate.workflows.training.retention import retention
from striate.workflows.training.running import Observer, Outcome, followed, metrics_of, run
from striate.workflows.training.transfer import given_module


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of `train`: what is asked for, who is told, when it began, and the processes that train together, where there are several."""

    request: TrainRequest
    observer: Observer
    started: float  # s, of the monotonic clock
    group: ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """True if this process writes."""
        return self.group is None or self.group.is_first


def trained(
    call: Call, plan: Plan, folder: Path, start: Checkpoint | None = None, first: Callable[[Plan], Plan] = lambda plan: plan
) -> TrainReport:
    """The training run to its end, its curves drawn, its logs ended, and the report; `first` is done when it is known that it can train."""
    request, group, every = call.request, call.group, call.request.checkpoint_every
    if group is not None and not group.is_first:
        return report_of(call, plan, folder, followed(plan, group, start=start, workers=request.workers))
    training = fit_images(plan.fitting, plan.train_set, plan.val_set, workers=request.workers, group=group)
    plan = first(plan)
    if slow := slow_precision(plan):
        call.observer.say(slow)
    with open_logs(request.log, folder, plan.config.plain(), call.observer.say) as logs:
        diagnose = request.diagnose and training.loop.num_steps > 0
        outcome = run(plan, folder, call.observer, training=training, start=start, every=every, diagnose=diagnose, logs=logs, group=group)
        draw_curves(plan, folder, outcome)
        report = report_of(call, plan, folder, outcome)
        logs.status = "KILLED" if outcome.interrupted else "FINISHED"
    return report


def slow_precision(plan: Plan) -> str | None:
    """A warning where bfloat16 is asked for, and slower here than float32."""
    settings = plan.fitting.settings
    device = choose_device(settings.device)
    if settings.precision != "bfloat16" or device.type != "cpu" or is_bfloat16_fast(device):
        return None
    slowdown = bfloat16_slowdown()
    if slowdown <= 1:
        return None
    return f"bfloat16  takes {slowdown:.1f} times as long as float32 on this processor, by a convolution; `precision='float32'` is faster"


def draw_curves(plan: Plan, folder: Path, outcome: Outcome) -> None:
    """Draw the curves into the run folder."""
    from striate.drawing.curves import curves_picture

    title = f"{plan.fitting.network.name} on {plan.source.name}"
    curves = RunFolder(folder).curves
    pictures = {curves.name: curves_picture(metrics_of(outcome.rows, plan.fitting), title=title)}
    if plan.learning_curve:
        from striate.drawing.learning import LearningRow, learning_picture

        points = [LearningRow(point.num_images, point.accuracy, point.accuracy_interval) for point in plan.learning_curve]
        pictures = {
            "learning-curve.png": learning_picture(points, title=f"Heads on {plan.fitting.network.name}, {plan.source.name}")
        } | pictures
    write_files(curves.parent, pictures)


def write_description(plan: Plan, folder: Path) -> Plan:
    """Write the definition and the environment of the training; gives the plan as it is."""
    files = RunFolder(folder)
    files.write_config(plan.config)
    write_atomically(files.network, plan.fitting.network.to_json().encode())
    write_json(files.env, info())
    write_json(files.classes, list(plan.source.classes))
    write_record(files.path, plan.record)
    return plan


def report_of(call: Call, plan: Plan, folder: Path, outcome: Outcome) -> TrainReport:
    """The report of a training; the first process reads the kept model for the measures that masks, labels and numbers have."""
    best = outcome.best
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
        seconds=round(time.monotonic() - call.started, 3),
        images_per_second=round(float(np.median([row.images_per_second for row in outcome.rows[-max(1, outcome.rows[-1].epoch) :]])), 1),
        best_epoch=best.epoch,
        val=val_score(plan, folder, outcome) if call.is_first else ValScore(accuracy=best.val_accuracy, loss=best.val_loss),
        interrupted=outcome.interrupted,
        stopped_early=outcome.stopped_early,
        left_out=plan.source.left_out,
        retention=retention(plan.config.extends, folder, plan.val_set) if call.is_first and plan.config.extends is not None else None,
        kind=None if plan.train_set.kind == "pictures" else plan.train_set.kind,
        zeros=zeros_of(plan, folder) if call.is_first and plan.fitting.settings.l1 else None,
        cross_validation=plan.cross_validation if best.epoch == 0 else None,
        learning_curve=plan.learning_curve,
    )


def zeros_of(plan: Plan, folder: Path) -> int:
    """The number of the kept model's parameters that are exactly 0."""
    model = load(folder, module=given_module(plan.fitting.network))
    return sum(int((parameter == 0).sum()) for parameter in model.module.parameters())


def val_score(plan: Plan, folder: Path, outcome: Outcome) -> ValScore:
    """The kept model's measures on the validation split."""
    best, task = outcome.best, task_named(plan.fitting.task)
    accuracy = best.val_accuracy if task.has_accuracy else None
    interval = None
    if accuracy is not None and plan.fitting.task in ("classify", "multilabel"):  # not the share of all pixels of masks
        interval = wilson_interval(round(accuracy * len(plan.val_set)), len(plan.val_set))
    measures = task.val_measures(best, lambda: load(folder, module=given_module(plan.fitting.network)), plan.val_set)
    if best.val_auxiliary_accuracy is not None:
        measures = {**measures, "auxiliary_accuracy": best.val_auxiliary_accuracy}
    if measures:
        return TargetScore(accuracy=accuracy, loss=best.val_loss, accuracy_interval=interval, measures=measures)
    return ValScore(accuracy=accuracy, loss=best.val_loss, accuracy_interval=interval)
