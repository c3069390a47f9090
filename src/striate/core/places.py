"""Paths that a user gives: outputs are checked before the work, and a missing path is answered with similar names."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from striate.core.errors import DataError, EnvironmentFault, UsageError

MOST_LISTED = 10_000  # names of a folder that are compared with one that is not there


def check_file(path: Path | None, field: str, endings: Sequence[str], *, makes_folder: bool = False) -> None:
    """Refuse a file that cannot be written, or whose ending does not match its format.

    Args:
        path: The file; None is fine.
        field: The argument that named it, such as plot.
        endings: Those of its format, such as `.png`; a name without one is taken.
        makes_folder: Whether the folder of the file is made where it is missing.

    Raises:
        UsageError: another ending.
        EnvironmentFault: a folder of that name, or a folder that is missing or cannot be written to.
    """
    if path is None:
        return
    if path.suffix and path.suffix.lower() not in endings:
        remedy = f"Name it {path.with_suffix(endings[0])}; no other format is supported."
        raise UsageError(f"`{field}` {path}: must end in {' or '.join(endings)}, got {path.suffix}", remedy)
    if path.is_dir():
        raise EnvironmentFault(f"`{field}` {path}: cannot write a file: this is a folder", "Give the name of a file in it.")
    if not makes_folder and not path.resolve().parent.is_dir():
        raise EnvironmentFault(f"`{field}` {path}: its folder does not exist", f"Create it, or choose another `{field}` file.")
    _check_writable(path.parent, field, path)


def check_folder(path: Path | None, field: str = "output") -> None:
    """Refuse a folder that cannot be created or written to.

    Raises:
        EnvironmentFault: it is a file, or lies in one, or the permission is missing.
    """
    if path is not None:
        _check_writable(path, field, path)


def _check_writable(folder: Path, field: str, path: Path) -> None:
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise EnvironmentFault(f"`{field}` {path}: cannot write: {place} is not a folder", f"Choose another `{field}`.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise EnvironmentFault(f"`{field}` {path}: cannot write: no permission in {place}", f"Choose another `{field}`.")


def near(path: Path | str, remedy: str = "") -> str:
    """The remedy for a missing path: similar names in the nearest existing folder, then `remedy`."""
    path = Path(path)
    place = path
    while not os.path.lexists(place.parent) and place != place.parent:
        place = place.parent
    try:
        with os.scandir(place.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, MOST_LISTED)]
    except (OSError, ValueError):
        names = []
    by_lower = {name.lower(): name for name in sorted(names)}
    alike = [by_lower[name] for name in difflib.get_close_matches(place.name.lower(), by_lower, n=3, cutoff=0.6)]
    rest = path.relative_to(place)
    found = [place.with_name(name) / rest for name in alike]
    found = [one if one.exists() else place.with_name(name) for one, name in zip(found, alike, strict=True)]
    question = f"Did you mean {' or '.join(map(str, found))}?" if found else ""
    return f"{question} {remedy}".strip()


def no_such_file(path: Path | str, what: str = "file") -> DataError:
    """The error for a path that does not exist, such as a pattern without matches."""
    is_pattern = any(sign in str(path) for sign in "*?[")
    remedy = (
        "No file matches the pattern: check it. In Python, pass the result of glob.glob." if is_pattern else near(path, "Check the name.")
    )
    return DataError(f"{path}: no such {what}", remedy)
