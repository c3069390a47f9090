"""Making the folder of a new run: `runs/<verb>/<name>-NNN/`, or where the user chose."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.errors import DataError, UsageError
from striate.core.files import cannot_write, shortened
from striate.core.locks import LOCK, refuse_held
from striate.workflows.runs.folder import RunFolder

if TYPE_CHECKING:
    from striate.engine.processes import ProcessGroup

MOST_BYTES = 100  # of a name that a run folder is called by


def new_run_folder(verb: str, name: str, output: Path | None) -> Path:
    """Make the folder of a new run: `output`, or the next free `runs/<verb>/<name>-NNN`.

    Raises:
        UsageError: `output` exists and holds more than a run leaves that ends before it begins; nothing in it is touched.
        EnvironmentFault: the folder cannot be made, or not written to; or another run is at work in it.
    """
    if output is not None:
        refuse_used(output)
        folder = output
        _make(folder, exist_ok=True)
    else:
        parent = Path("runs") / verb
        _make(parent, exist_ok=True)
        safe = shortened(re.sub(r"[^\w.+-]+", "-", name).strip("-."), MOST_BYTES) or "run"
        endings = [path.name[len(safe) + 1 :] for path in parent.iterdir() if path.name.startswith(f"{safe}-")]
        number = 1 + max((int(ending) for ending in endings if ending.isdigit()), default=0)
        while True:  # another run may take the number at the same time: mkdir decides
            folder = parent / f"{safe}-{number:03d}"
            if not folder.exists():
                try:
                    _make(folder, exist_ok=False)
                    break
                except FileExistsError:
                    pass
            number += 1
    if not os.access(folder, os.W_OK):
        raise cannot_write(folder, PermissionError(13, "Permission denied"))
    return folder


def refuse_used(folder: Path) -> None:
    """Refuse a path that a new run cannot use as its folder: a file, or a folder with more than the files of a run that did not start.

    Raises:
        UsageError: it is one.
        EnvironmentFault: a run is at work in it.
    """
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or RunFolder(folder).is_unstarted)):
        refuse_held(folder)
        raise UsageError(f"{folder}: exists already", "Choose another `output`, or move the old run away.")


@contextlib.contextmanager
def removed_if_unbegun(folder: Path, group: ProcessGroup | None = None) -> Iterator[None]:
    """Context in which a training starts in `folder`; if an error ends it before it wrote anything, the created folders are removed.

    So it does where the training is refused before its first update is done: a run that could not start cannot be continued.
    """
    try:
        yield
    except Exception as error:
        if group is None or group.is_first:
            refused = isinstance(error, UsageError | DataError) and RunFolder(folder).is_before_first_update
            remove_unbegun(folder, refused=refused)
        raise


def remove_unbegun(folder: Path, *, refused: bool = False) -> None:
    """Remove a folder of a run with nothing but its lock, or that was refused, and `runs/<verb>` above it where they are empty."""
    with contextlib.suppress(OSError):
        if refused or {path.name for path in folder.iterdir()} <= {LOCK}:
            shutil.rmtree(folder)
            if folder.parent.parent == Path("runs"):
                folder.parent.rmdir()
                folder.parent.parent.rmdir()


def _make(folder: Path, *, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        if not exist_ok:
            raise
        raise UsageError(f"{folder}: exists already and is not a folder", "Choose another `output`.") from None
    except OSError as error:
        raise cannot_write(folder, error) from error
