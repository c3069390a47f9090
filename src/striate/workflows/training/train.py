"""Train a network on labelled pictures and write a run folder."""

from __future__ import annotations

import time
from pathlib import Path

from striate.core.devices import choose_device
from striate.core.errors import UsageError, memory_in_words
from striate.core.locks import LOCK
from striate.core.reports import write_files
from striate.core.text import in_lines
from striate.engine.processes import joined
from striate.workflows.recipes.choices import finds_rate
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.continuing import Plan
from striate.workflows.training.finishing import Call, trained, write_description
from striate.workflows.training.logs import check_packages
from striate.workflows.training.lr_find import with_found_rate
from striate.workflows.training.planning import resolve
from striate.workflows.training.request import TrainReport, TrainRequest
from striate.workflows.training.resuming import resumed
from striate.workflows.training.running import Observer, QuietObserver
from striate.workflows.training.runs import new_run_folder, refuse_used, removed_if_unbegun
from striate.workflows.training.sharing import (
    folder_for_all,
    is_restarted,
    latest_for_all,
    locked,
    refuse_other_plans,
    refuse_other_runs,
)
from striate.workflows.training.summary import chosen
from striate.workflows.training.transfer import with_written_start

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
        told = observer if observer is not None and (group is None or group.is_first) else QuietObserver()
        call = Call(request=request, observer=told, started=started, group=group)
        if request.resume is None:
            return _begun(call)
        if request.recipe is not None:
            message = "`recipe`: a run continues with the settings that it was started with"
            raise UsageError(message, "Leave `recipe` out, or start a new run.")
        return resumed(call, request.resume)


def _begun(call: Call) -> TrainReport:
    """A new run; or, where `torchrun` started the processes again, the same from its last checkpoint."""
    request, observer, group = call.request, call.observer, call.group
    again = is_restarted(request.output)
    if group is None and request.output is not None and not again:
        refuse_used(request.output)  # before the pictures are read
    plan, picture = resolve(request, observer, group), None
    if finds_rate(request):
        plan, picture = with_found_rate(plan, observer.say)
    refuse_other_plans(group, plan)
    folder = folder_for_all(group, lambda: _folder_of(request, plan, again=again))
    with locked(folder, group, observer.say), removed_if_unbegun(folder, group):  # only who holds the lock may remove it
        checkpoints = RunFolder(folder).checkpoints
        if again and (checkpoints / "latest").exists():
            start = latest_for_all(checkpoints, group, observer.say)
            observer.say(in_lines([chosen(plan, folder), f"from      step {start.step:,}, after a restart"]))
            return trained(call, plan, folder, start)
        observer.say(chosen(plan, folder))
        return trained(call, plan, folder, None, lambda plan: _begin(folder, plan, picture, again=again))


def _folder_of(request: TrainRequest, plan: Plan, *, again: bool) -> Path:
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


def _begin(folder: Path, plan: Plan, picture: bytes | None, *, again: bool) -> Plan:
    """Write the files of a run folder before the training: its definition, and the picture of a learning-rate range test.

    Gives the plan, whose configuration names the weights that the training begins with, where they were not fresh.
    """
    files = RunFolder(folder)
    if not again:
        refuse_used(folder)  # by a run that began and ended between the look at the folder and its lock
        files.clear_description()
    plan = with_written_start(plan, files)
    write_description(plan, folder)
    if picture is not None:
        write_files(files.report, {"lr_find.png": picture})
    return plan
