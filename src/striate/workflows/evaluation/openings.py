"""How often a run's test split was opened. A test set that is looked at often is a validation set."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.files import cannot_write

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "test-openings.jsonl"  # of a run folder: one line an opening


def run_of(source: str | Path) -> Path | None:
    """The run folder that a model comes from: `source` itself, or the folder of a model file that lies in one."""
    path = Path(source)
    if path.is_dir():
        return path
    return path.parent if path.is_file() and (path.parent / "config.yaml").is_file() else None


def count_opening(run: Path, verb: str, data: str) -> int:
    """Note that `verb` opened the test split of `data` for the model of `run`; how many times that happened by now.

    Raises:
        EnvironmentFault: the run folder cannot be written.
    """
    import os

    path = run / NAME
    record = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "verb": verb, "data": data}
    try:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except OSError as error:
        raise cannot_write(path, error) from error


def say_opening(count: int, say: Callable[[str], None]) -> None:
    """Remind the person, from the second opening on."""
    if count > 1:
        say(f"test: opened {count} times by now; choose between models by val, or test comes out better than it is")
