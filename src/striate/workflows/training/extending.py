"""Extending a finished run by more epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from striate.core.errors import UsageError
from striate.engine.checkpoints import Checkpoint
from striate.engine.schedules import extended
from striate.engine.settings import TrainSettings
from striate.workflows.recipes.choices import (
    with_checked_fields,
)
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.runs import CURVES
from striate.workflows.training.sharing import (
    may_restart,
)


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
