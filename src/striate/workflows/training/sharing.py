"""Training in several processes: the work that one of them does for all, and the restart after one of them has died."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from striate.core.errors import RefusedFileError
from striate.core.locks import RunLock
from striate.engine.checkpoints import Checkpoint, CheckpointStore, load_checkpoint
from striate.engine.processes import ProcessGroup
from striate.workflows.runs.config import flat
from striate.workflows.training.continuing import Plan, conditions, config_and_network, fingerprint, refuse_changes

OF_THE_MACHINE = ("data", "data_dir", "start_sha256")  # of a configuration: where the data lies, and what is hashed later


def refuse_other_plans(group: ProcessGroup | None, plan: Plan) -> None:
    """Continue only if each process has the same configuration, data and versions.

    Raises:
        UsageError: they differ; names the fields.
    """
    if group is not None:
        facts = {name: value for name, value in flat(plan.config.plain()).items() if name not in OF_THE_MACHINE}
        data = fingerprint(plan.train_set, plan.val_set)
        group.check_same({**facts, "pictures and labels (SHA-256)": data, **flat(conditions(group.size))})


def agreed(group: ProcessGroup | None, decide: Callable[[], str]) -> str:
    """The decision of the first process."""
    return decide() if group is None else group.from_first(decide)


def folder_for_all(group: ProcessGroup | None, make: Callable[[], Path]) -> Path:
    """The run folder that the first process makes."""
    return make() if group is None else Path(group.from_first(lambda: str(make().resolve())))


@contextlib.contextmanager
def locked(folder: Path, group: ProcessGroup | None, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the run folder; the first process does so for all."""
    if group is None:
        with RunLock(folder, say=say):
            yield
        return
    with contextlib.ExitStack() as stack:
        group.from_first(lambda: str(stack.enter_context(RunLock(folder, say=say))))
        yield


def latest_for_all(folder: Path, group: ProcessGroup | None, say: Callable[[str], None]) -> Checkpoint:
    """The newest intact checkpoint of `folder`, as the first process finds it.

    Raises:
        RefusedFileError: there is none.
    """

    def newest() -> Checkpoint:
        found = CheckpointStore(folder, say=say).load_latest()
        if found is None:
            raise RefusedFileError(f"{folder.parent}: holds no checkpoint to continue from", "Start the run again in a new folder.")
        return found

    if group is None:
        return newest()
    if group.is_first:
        found: list[Checkpoint] = []
        group.from_first(lambda: found.append(newest()) or found[0].folder.name)  # type: ignore[func-returns-value]
        return found[0]
    return load_checkpoint(folder / group.from_first(str))


def is_restarted(output: Path | None) -> bool:
    """Return whether `torchrun` has restarted the processes, after one of them died with a run in `output` in progress."""
    started_again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    return started_again and output is not None and output.is_dir() and any(output.iterdir())


def may_restart() -> bool:
    """Return whether `torchrun` restarts the processes when one of them dies."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def refuse_other_runs(folder: Path, plan: Plan) -> None:
    """Continue only with the run that `plan` would make.

    Raises:
        UsageError: the folder holds another run.
        DataError: it holds none.
    """
    kept, _ = config_and_network(folder)

    def of_the_run(config: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in ("start_sha256", "extended_by")}

    refuse_changes(folder, of_the_run(kept.plain_as_asked()), of_the_run(plan.config.plain_as_asked()))
