"""Continuing a run from its last checkpoint, or from its beginning where it has none yet."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from striate.core.errors import UsageError
from striate.core.places import near
from striate.core.text import in_lines
from striate.engine.checkpoints import Checkpoint
from striate.networks.foreign import with_module
from striate.workflows.recipes.choices import given_statistics, with_named_statistics
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import write_record
from striate.workflows.training.continuing import (
    asked_of,
    config_and_network,
    fingerprint,
    plan_of,
    refuse_changes,
    warn_of_other_conditions,
)
from striate.workflows.training.extending import early_end, extension_of, with_extensions
from striate.workflows.training.finishing import Call, trained, write_description
from striate.workflows.training.request import TrainReport, TrainRequest
from striate.workflows.training.sharing import latest_for_all, locked, refuse_other_plans
from striate.workflows.training.summary import chosen
from striate.workflows.training.transfer import is_module, with_kept_start
from striate.workflows.training.unchanged import refuse_other_files


def resumed(call: Call, folder: Path) -> TrainReport:
    """Continue the run in `folder` from its last checkpoint; bit for bit as if it had not stopped.

    With `epochs` "+N", a run is extended by N epochs; with a larger number than it has, to so many.

    A run that was stopped before its first checkpoint begins with what its folder says.

    Raises:
        UsageError: a setting or the data differs from the checkpoint's, or the run is done and not to be extended.
        DataError: it was stopped before it had a configuration.
        RefusedFileError: there is no checkpoint, or none is whole; or a file of the run is not the one of the checkpoint.
        EnvironmentFault: another process is at work in the folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run folder", near(folder, "Give the folder that `striate train` wrote."))
    files, request, group, say = RunFolder(folder), call.request, call.group, call.observer.say
    with locked(folder, group, say):
        start = None if files.is_unstarted else latest_for_all(files.checkpoints, group, say)
        if start is not None:
            refuse_other_files(files, start, say)
        kept, network = config_and_network(folder)
        if is_module(request.network):
            network, request = with_module(network, request.network), dataclasses.replace(request, network=None)
        config = kept if start is None else _extended(folder, kept, request, start)
        if start is None:
            _refuse_to_extend(folder, kept, request)
        plan = plan_of(folder, config, network, say, data=request.data, data_dir=request.data_dir, verb=f"train --resume {folder}")
        if start is None:
            plan = with_kept_start(dataclasses.replace(plan, config=config.with_planned(config.planned)), folder)
            refuse_other_plans(group, plan)
            say(in_lines([chosen(plan, folder), "from      the beginning: the run was stopped before its first checkpoint"]))
            return trained(call, plan, folder, None, lambda plan: write_description(plan, folder))
        if start.state["data"] != fingerprint(plan.train_set, plan.val_set):
            message = f"{folder}: the pictures or labels of {plan.source.name} have changed since the checkpoint"
            raise UsageError(message, "Start a new run.")
        warn_of_other_conditions(start.state["conditions"], group.size if group else 1, say)
        refuse_other_plans(group, plan)
        if call.is_first and not files.split.exists():
            write_record(folder, plan.record)  # of a run of an older version, whose data is what it was
        if call.is_first and config is not kept:
            files.write_extension(config)
        say(in_lines([chosen(plan, folder), f"from      step {start.step:,}, epoch {start.state['training']['epoch']}"]))
        return trained(call, plan, folder, start)


def _extended(folder: Path, config: RunConfig, request: TrainRequest, start: Checkpoint) -> RunConfig:
    """The configuration with the epochs by which the request extends the run; the same if it does not.

    Raises:
        UsageError: the run or the request has other settings than the checkpoint, or the run is done.
    """
    kept = RunConfig.from_plain(start.state["config"], f"{start.folder}: the configuration")
    refuse_changes(folder, with_extensions(kept, config.extended_by, start).plain_as_asked(), config.plain_as_asked())
    refuse_other_settings(folder, config, request)
    begun = kept.extended_by != config.extended_by  # an extension, of which there is no checkpoint yet
    reached = None if begun else early_end(start, config.plain())
    extension = extension_of(request, config.plain(), folder, done=start.state["done"] and not begun, reached=reached)
    return config if extension is None else with_extensions(config, (*config.extended_by, extension), start)


def _refuse_to_extend(folder: Path, config: RunConfig, request: TrainRequest) -> None:
    """Refuse other settings or more epochs for a run that has not started."""
    refuse_other_settings(folder, config, request)
    if request.epochs not in (None, config.settings.epochs):
        message = f"{folder}: has not started, `epochs={request.epochs!r}` cannot extend it"
        raise UsageError(message, "Leave `epochs` out, or start a new run.")


def refuse_other_settings(folder: Path, config: RunConfig, request: TrainRequest) -> None:
    """Refuse a request for other settings than the run's; of a reduced setting, both the effective and the requested value are accepted.

    Raises:
        UsageError: it asks for one.
    """
    known = config.plain_as_asked()
    request = with_named_statistics(request)
    told = {f"images.{name}": list(values) for name, values in given_statistics(request, config.images.channels).items()}
    wanted = asked_of(dataclasses.replace(request, set={**request.set, **told}), known)
    for name in config.asked:
        if wanted["settings"][name] == getattr(config.settings, name):
            wanted["settings"][name] = known["settings"][name]
    refuse_changes(folder, known, wanted)
