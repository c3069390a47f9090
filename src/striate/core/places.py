"""Places for output, looked at before the work: a path that cannot be written costs no answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from striate.core.errors import EnvironmentFault, UsageError


def check_file(path: Path | None, flag: str, endings: Sequence[str], *, makes_folder: bool = False) -> None:
    """Refuse a file that cannot be written, or whose name says another format than it will have.

    Args:
        path: The file; None is fine.
        flag: What the user named it with, such as `--plot`.
        endings: Those of its format, such as `.png`; a name without one is taken.
        makes_folder: Whether the folder of the file is made where it is missing.

    Raises:
        UsageError: another ending.
        EnvironmentFault: a folder of that name, or a folder that is missing or cannot be written to.
    """
    if path is None:
        return
    if path.suffix and path.suffix.lower() not in endings:
        remedy = f"Name it {path.with_suffix(endings[0])}; no other format is written."
        raise UsageError(f"{flag} {path}: must end in {' or '.join(endings)}, got {path.suffix}", remedy)
    if path.is_dir():
        raise EnvironmentFault(f"{flag} {path}: cannot write a file: this is a folder", "Give the name of a file in it.")
    if not makes_folder and not path.resolve().parent.is_dir():
        raise EnvironmentFault(f"{flag} {path}: its folder does not exist", f"Create it, or choose another {flag} file.")
    _check_writable(path.parent, flag, path)


def check_folder(path: Path | None, flag: str = "--output") -> None:
    """Refuse a folder that can be neither made nor written to.

    Raises:
        EnvironmentFault: it is a file, or lies in one, or the permission is missing.
    """
    if path is not None:
        _check_writable(path, flag, path)


def _check_writable(folder: Path, flag: str, path: Path) -> None:
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise EnvironmentFault(f"{flag} {path}: cannot write: {place} is not a folder", f"Choose another {flag}.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise EnvironmentFault(f"{flag} {path}: cannot write: no permission in {place}", f"Choose another {flag}.")
