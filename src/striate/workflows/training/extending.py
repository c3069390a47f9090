"""Extending a run that is done, or that stopped early, by more epochs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from striate.core.errors import UsageError
from striate.engine.checkpoints import Checkpoint
from striate.engine.schedules import replanned
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.replaying import refuse_updates
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.sharing import may_restart


def with_extensions(config: RunConfig, extensions: tuple[int, ...], start: Checkpoint) -> RunConfig:
    """`config` with those changes of its number of epochs in `extensions` that it does not have yet."""
    settings = config.planned
    for added in extensions[len(config.extended_by) :]:
        settings = replanned(settings, added, start.state["steps_per_epoch"])
    return dataclasses.replace(config, extended_by=extensions).with_planned(settings)


def extension_of(request: TrainRequest, config: dict[str, Any], folder: Path, *, done: bool, reached: int | None = None) -> int | None:
    """The number of epochs by which the plan of the run changes; None if it does not.

    The requested epochs come after those that were trained: a run of 30 epochs that stopped early after 5 and gets 3 more has 8.

    Args:
        request: Whose `epochs` is "+N" or a total.
        config: That of the run.
        folder: The run folder.
        done: Whether the run has come to its end.
        reached: The epochs that it was trained for, where it stopped early.

    Raises:
        UsageError: `epochs` is not "+N" or fewer than the run has, or the run is done and not extended; or `torchrun` may start the
            processes again, which would add N each time; or pictures are known by their features alone.
    """
    planned: int = config["settings"]["epochs"]
    in_epochs = config["settings"]["steps"] is None
    reached = planned if reached is None else reached
    if request.epochs not in (None, planned) and (config.get("extends") or {}).get("replayed"):
        refuse_updates(config["extends"]["run"])
    if isinstance(request.epochs, str):
        added = added_epochs(request.epochs)
        if may_restart():
            message = f"`epochs={request.epochs!r}`: torchrun --max-restarts would extend the run again at each start"
            raise UsageError(message, f"Give the total: `epochs={reached + added!r}`." if in_epochs else "Leave --max-restarts out.")
        return reached + added - planned
    if request.epochs is not None and request.epochs > reached and in_epochs:
        return request.epochs - planned
    if request.epochs not in (None, planned):
        message = f"{folder}: has {reached} epochs, `epochs` says {request.epochs}"
        raise UsageError(message, "Extend a run with `epochs='+N'`, or to a larger number of epochs.")
    if done and RunFolder(folder).curves.exists():  # else it was stopped while the report was written, which is done again
        raise UsageError(f"{folder}: the run is done", "Extend it with `epochs='+N'`.")
    return None


def early_end(start: Checkpoint, config: dict[str, Any]) -> int | None:
    """The epochs that a run was trained for, where it was planned in epochs and stopped early."""
    training: dict[str, Any] = start.state["training"]
    stopped = training.get("stopped_early") and config["settings"]["steps"] is None
    return int(training["epoch"]) - 1 if stopped else None


def added_epochs(text: str) -> int:
    """N of "+N".

    Raises:
        UsageError: it is something else.
    """
    if not (text.startswith("+") and text[1:].isdigit() and int(text[1:]) > 0):
        raise UsageError(
            f"`epochs={text!r}`: must be a number, or +N with `resume`", "For example `epochs=20`, or `resume=RUN, epochs='+20'`."
        )
    return int(text[1:])
