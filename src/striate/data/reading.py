"""The form in which pictures and their labels are given, as far as the data itself does not tell: columns, and rules for paths."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, UnknownNameError, UsageError
from striate.data.omissions import some

Role = Literal["path", "label", "split", "group", "weight"]
Rule = Callable[[str], str | None]  # of the path of a picture below its folder, with forward slashes; None: nothing is found

REGEX = "regex:"
RULES = f"parent (the folder that holds a picture), top (the outermost folder), or {REGEX}PATTERN"
NAMES: dict[Role, tuple[str, ...]] = {  # of columns, in small letters and with underscores; the first that there is counts
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_file", "img", "img_path",
             "picture", "photo"),
    "label": ("label", "labels", "class", "classes", "class_name", "category", "tags", "target"),
    "split": ("split", "subset", "partition"),
    "group": ("group",),
    "weight": ("weight", "sample_weight"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Reading:
    """The place of labels, splits, groups and weights in a folder or a table; what is None or absent is found by its usual name.

    Attributes:
        class_from: The rule that tells a picture's class by its path: parent, top or regex:PATTERN.
        columns: The columns of a table by what they hold.
        group: The column, or for a folder the rule, that tells which pictures belong together, in one split.
        separator: The text between the labels of a picture that has several.
        root: The folder that the paths of a table start from.
    """

    class_from: str | None = None
    columns: Mapping[Role, str] = Field(default_factory=dict)
    group: str | None = None
    separator: str | None = None
    root: str | None = None

    def column(self, role: Role, names: Sequence[str]) -> str | None:
        """The column that holds something: the one that is named, else the first that has a usual name; None without one."""
        named = self.columns.get(role) or (self.group if role == "group" and self.group and not is_rule(self.group) else None)
        if named is not None:
            return named
        plain = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in reversed(names)}
        return next((plain[usual] for usual in NAMES[role] if usual in plain), None)

    @classmethod
    def of(cls, record: object) -> Reading:
        """That of a record with the same fields: a request, or the configuration of a run."""
        values = {name: getattr(record, name) for name in FIELDS}
        fields: dict[str, Any] = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        return cls(**fields)

    def over(self, other: Reading) -> Reading:
        """The fields that are given here, and those of `other` for the rest."""
        given = {name: getattr(self, name) for name in self.in_use}
        return replace(other, **given | {"columns": {**other.columns, **self.columns}})

    @property
    def in_use(self) -> tuple[str, ...]:
        """The fields that are given."""
        return tuple(name for name in FIELDS if getattr(self, name))


AS_USUAL = Reading()
FIELDS = ("class_from", "columns", "group", "separator", "root")


def checked_columns(columns: Mapping[Any, str]) -> Mapping[Role, str]:
    """Columns by what they hold.

    Raises:
        UnknownNameError: a table of pictures holds no such thing; gives the nearest.
    """
    for role in columns:
        if role not in NAMES:
            raise UnknownNameError("name in `columns`", str(role), NAMES, f"Known: {', '.join(NAMES)}.")
    return columns


def is_rule(text: str) -> bool:
    """Return whether `text` is a rule for paths."""
    return text in ("parent", "top") or text.startswith(REGEX)


def rule_of(text: str, field: str) -> Rule:
    """The rule that `text` describes: for `regex:`, the group called class, else the first group, else the whole match.

    Raises:
        UsageError: it is none, or not a regular expression; names the field.
    """
    if text == "parent":
        return lambda path: path.rpartition("/")[0].rpartition("/")[2] or None
    if text == "top":
        return lambda path: path.partition("/")[0] if "/" in path else None
    if not text.startswith(REGEX):
        raise UsageError(f"`{field}`: must be {RULES}, got {text!r}", f"For example `{field}='regex:^([a-z]+)_'`.")
    try:
        pattern = re.compile(text.removeprefix(REGEX))
    except re.error as error:
        raise UsageError(f"`{field}`: not a regular expression: {error}", f"For example `{field}='regex:^([a-z]+)_'`.") from None
    chosen: int | str = "class" if "class" in pattern.groupindex else min(1, pattern.groups)
    return lambda path: found[chosen] or None if (found := pattern.search(path)) is not None else None


def by_rule(rule: Rule, paths: Collection[str]) -> list[str | None]:
    """The answer of a rule to each path, in one Unicode spelling."""
    return [None if (answer := rule(path)) is None else unicodedata.normalize("NFC", answer) for path in paths]


def groups_by_rule(text: str, paths: Sequence[str], where: str) -> list[str]:
    """The group of each picture, by the rule `text`.

    Raises:
        UsageError: it is no rule.
        DataError: it finds nothing in a path.
    """
    found = by_rule(rule_of(text, "group"), paths)
    if lost := [path for path, group in zip(paths, found, strict=True) if group is None]:
        message = f"{where}: `group={text!r}` finds nothing in {len(lost):,} of {len(paths):,} paths: {some(lost)}"
        raise DataError(message, "Change the pattern: each picture needs a group.")
    return [group for group in found if group is not None]


def no_match(text: str, where: str, paths: Sequence[str]) -> DataError:
    """The error for a rule that finds no class in any path."""
    message = f"{where}: `class_from={text!r}` finds no class in any of {len(paths):,} paths, such as {some(paths)}"
    return DataError(message, "Change it: the pattern is searched in the path below the folder, with forward slashes.")
