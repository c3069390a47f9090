"""Recipes in YAML files: plain data with known names, and nothing that could execute, expand or hide."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.core.bounded import read_yaml
from striate.core.errors import RefusedFileError, UnknownNameError, UsageError
from striate.core.images import ImageSpec, SignalSpec
from striate.core.places import near
from striate.data.augmentation.record import Augmentation
from striate.engine.settings import TrainSettings
from striate.workflows.runs.config import FIELDS

MAX_BYTES = 2**18
RECIPE = "`recipe` takes the name of a recipe or a YAML file with settings."
KNOWN = {
    "settings": tuple(field.name for field in dataclasses.fields(TrainSettings)),
    "augmentation": tuple(field.name for field in dataclasses.fields(Augmentation)),
    "images": tuple({field.name: None for spec in (ImageSpec, SignalSpec) for field in dataclasses.fields(spec)}),
}
OF_A_RUN = tuple(name for name in FIELDS if name not in KNOWN)  # what config.yaml of a run holds beside


def read_recipe_file(path: Path) -> dict[str, Any]:
    """The content of a recipe file: `recipe` (the name of one that it starts from), `settings`, `augmentation`, and a run's other fields.

    Raises:
        UsageError: there is no such file, or a group or a value is not of its kind.
        UnknownNameError: a name is not known; gives the nearest.
        RefusedFileError: the file is no YAML, too large or too deep, has a name twice, or holds tags, anchors, NaN or Inf.
    """
    content = safe_yaml(path)
    if not isinstance(content, dict):
        raise RefusedFileError(f"{path}: must hold names and values, got {type(content).__name__}", "Begin with the line 'settings:'.")
    check_names(path, "", content, ("recipe", *KNOWN, *OF_A_RUN))
    for group, names in KNOWN.items():
        part = content.setdefault(group, {})
        if part is None:
            content[group] = {}
        elif not isinstance(part, dict):
            raise UsageError(f"{path}: {group} must hold names and values, got {part!r}")
        else:
            check_names(path, f"{group}.", part, names)
    return content


def check_names(path: Path, group: str, part: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    """Refuse an unknown name.

    Raises:
        UnknownNameError: gives the nearest.
    """
    for name in part:
        if name not in known:
            raise UnknownNameError(f"name in {path}:", f"{group}{name}", [group + each for each in known], f"Known: {', '.join(known)}.")


def safe_yaml(path: Path, *, remedy: str = RECIPE) -> Any:
    """The plain data of a YAML file; errors advise `remedy`.

    Raises:
        UsageError: it cannot be read.
        RefusedFileError: see `read_recipe_file`.
    """
    if path.is_dir() or not path.exists():
        raise UsageError(f"{path}: no such file", near(path, remedy))
    return read_yaml(path, limit=MAX_BYTES, remedy=remedy)
