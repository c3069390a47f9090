"""Continuing a run only if its files are those of its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from striate.core.errors import RefusedFileError
from striate.engine.checkpoints import Checkpoint
from striate.models.model import MODEL_NAME
from striate.networks.model_file import read_model
from striate.workflows.runs.config import RESTORE
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.hashes import FILES, NOT_RECORDED, file_hash

LOST = "Restore it from an intact copy, or train again: striate train --recipe RUN/config.yaml."


def refuse_other_files(folder: RunFolder, start: Checkpoint, say: Callable[[str], None]) -> None:
    """Refuse to continue if the network, the classes, the division or the kept model are not those of the checkpoint.

    The configuration is compared field by field elsewhere. An old checkpoint, which has no hashes, is reported.

    Raises:
        RefusedFileError: names each file.
    """
    recorded = start.state.get(FILES)
    if not isinstance(recorded, Mapping):
        say(f"{folder.path}: {NOT_RECORDED}")
        recorded = {}
    differing = folder.differing({name: value for name, value in recorded.items() if name != folder.config.name})
    if differing:
        raise RefusedFileError("; ".join(differing), RESTORE)
    if any(row["epoch"] == start.state["training"]["best_epoch"] for row in start.state["rows"]):
        refuse_other_model(folder, start, recorded)


def refuse_other_model(folder: RunFolder, start: Checkpoint, recorded: Mapping[str, Any]) -> None:
    """Refuse a kept model that is missing, damaged, or neither the checkpoint's nor one that the run kept after it.

    Raises:
        RefusedFileError: it is.
    """
    best_epoch = start.state["training"]["best_epoch"]
    try:
        info = read_model(folder.model).info
    except RefusedFileError as error:
        raise RefusedFileError(f"{error.message}; it holds the model of epoch {best_epoch}, which the checkpoint does not", LOST) from None
    if MODEL_NAME not in recorded or file_hash(folder.model) == recorded[MODEL_NAME]:
        return
    of_this_run = info.get(FILES) == {name: value for name, value in recorded.items() if name != MODEL_NAME}
    if not (of_this_run and info.get("epoch", 0) > len(start.state["rows"])):  # else it was kept after the checkpoint, and will be again
        raise RefusedFileError(f"{folder.model}: is not the model that the run kept in epoch {best_epoch}", LOST)
