"""How often a run's test split was opened. A test set that is looked at often is a validation set."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.files import cannot_write
from striate.core.text import json_text
from striate.workflows.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable


def count_opening(run: Path, verb: str, data: str) -> int:
    """Note that `verb` opened the test split of `data` for the model of `run`; how many times that happened by now.

    Raises:
        EnvironmentFault: the run folder cannot be written.
        RefusedFileError: the list of openings is damaged.
    """
    import os

    folder = RunFolder(run)
    before = folder.count_openings()
    record = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "verb": verb, "data": data}
    try:
        with folder.openings.open("a", encoding="utf-8") as lines:
            lines.write(json_text(record) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise cannot_write(folder.openings, error) from error
    return before + 1


def say_opening(count: int, say: Callable[[str], None]) -> None:
    """Remind the person, from the second opening on."""
    if count > 1:
        say(f"test: opened {count} times by now; choose between models by val, or test comes out better than it is")
