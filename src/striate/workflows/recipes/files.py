"""Recipes in YAML files: plain data with known names, and nothing that could run, grow or hide."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from striate.core.errors import RefusedFileError, UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.data.batches import Augmentation
from striate.engine.settings import TrainSettings

MAX_BYTES = 2**18
MAX_DEPTH = 6
KNOWN = {
    "settings": tuple(field.name for field in dataclasses.fields(TrainSettings)),
    "augmentation": tuple(field.name for field in dataclasses.fields(Augmentation)),
    "images": tuple(field.name for field in dataclasses.fields(ImageSpec)),
}
OF_A_RUN = (  # what config.yaml of a run holds beside
    *("data", "task", "data_dir", "val_fraction", "val_seed", "train_images", "skip_unreadable"),
    *("network", "num_classes", "extended_by", "pretrained", "pretrain", "start_sha256"),
)


def read_recipe_file(path: Path) -> dict[str, Any]:
    """What a recipe file says: `recipe` (the name of one that it starts from), `settings`, `augmentation`, and what else a run keeps.

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
    """Refuse a name that is not known.

    Raises:
        UnknownNameError: gives the nearest.
    """
    for name in part:
        if name not in known:
            raise UnknownNameError(f"name in {path}:", f"{group}{name}", [group + each for each in known], f"Known: {', '.join(known)}.")


def safe_yaml(path: Path) -> Any:
    """The plain data of a YAML file.

    Raises:
        UsageError: it cannot be read.
        RefusedFileError: see `read_recipe_file`.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file", "--recipe takes the name of a recipe or a YAML file.")
        if path.stat().st_size > MAX_BYTES:
            raise RefusedFileError(f"{path}: has {path.stat().st_size:,} bytes, more than the {MAX_BYTES:,} of any recipe")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RefusedFileError(f"{path}: is not text in UTF-8: {error}") from None
    try:
        check_events(path, text)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: dates and numbers that do not exist
        if isinstance(error, RefusedFileError):
            raise
        raise RefusedFileError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    for name, value in leaves(content):
        if isinstance(value, float) and not math.isfinite(value):
            raise RefusedFileError(f"{path}: {name} must be a finite number, got {value}")
    return content


def check_events(path: Path, text: str) -> None:
    """Go through the file without building anything, and refuse what plain data does not need.

    Raises:
        RefusedFileError: it is too deep, has a name twice, or uses tags, anchors or several documents.
    """
    names: list[set[str] | None] = []  # of each mapping that is open; None for a sequence
    awaits_name: list[bool] = []
    documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"{path}, line {event.start_mark.line + 1 if event.start_mark else '?'}"
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if documents > 1:
            raise RefusedFileError(f"{line}: a second document begins", "Keep one.")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise RefusedFileError(f"{line}: anchors and aliases (& and *) are not read", "Write the value out.")
        if (tag := getattr(event, "tag", None)) is not None:
            raise RefusedFileError(f"{line}: tags (!) are not read: {tag}", "Write plain numbers, words and lists.")
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            names.pop()
            awaits_name.pop()
        elif isinstance(event, yaml.NodeEvent):
            if names and names[-1] is not None:
                if awaits_name[-1]:
                    name = event.value if isinstance(event, yaml.ScalarEvent) else ""
                    if not isinstance(event, yaml.ScalarEvent) or name == "<<":
                        raise RefusedFileError(f"{line}: a name must be a word")
                    if name in names[-1]:
                        raise RefusedFileError(f"{line}: {name} stands there twice", "Keep one.")
                    names[-1].add(name)
                awaits_name[-1] = not awaits_name[-1]
            if isinstance(event, yaml.CollectionStartEvent):
                names.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
                awaits_name.append(True)
                if len(names) > MAX_DEPTH:
                    raise RefusedFileError(f"{line}: more than {MAX_DEPTH} levels deep")


def leaves(content: Any, name: str = "the value") -> Iterator[tuple[str, Any]]:
    """Each value that holds no others, with its name."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, str(key))
    elif isinstance(content, list):
        for value in content:
            yield from leaves(value, name)
    else:
        yield name, content
