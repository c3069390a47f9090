"""A report as JSON, and its display at a prompt and in a notebook: a short table of its figures and files, not all that it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

from striate.core.files import make_folder, write_atomically, write_json
from striate.core.tables import aligned, html_table

AnyReport = TypeVar("AnyReport")
MOST_SHOWN = 6  # values on one line; of more it is said how many there are


def shown_short(report: type[AnyReport]) -> type[AnyReport]:
    """Display a record as a table of its fields, with long ones only counted."""
    record: Any = report
    record.__repr__ = _text
    record._repr_html_ = _page
    return report


def write_report(path: Path, report: Any) -> None:
    """Write all that a report holds as JSON; errors as of `write_atomically`."""
    from pydantic import TypeAdapter

    write_json(path, TypeAdapter(type(report)).dump_python(report, mode="json"))


def write_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Make a folder, and in it files by their name: of bytes, of text, or of a report as JSON; errors as of `write_atomically`."""
    make_folder(folder)
    for name, content in files.items():
        if isinstance(content, str | bytes):
            write_atomically(folder / name, content.encode() if isinstance(content, str) else content)
        else:
            write_report(folder / name, content)


def _text(report: Any) -> str:
    return aligned((type(report).__name__, ""), _facts(report), ()).rstrip("\n")


def _page(report: Any) -> str:
    return html_table((type(report).__name__, ""), _facts(report))


def _facts(report: Any) -> list[list[str]]:
    """The name and the value of each field that holds something."""
    held = [(field.name, getattr(report, field.name)) for field in dataclasses.fields(report)]
    return [[name, _said(value, name)] for name, value in held if value is not None and value not in ((), [], {}, "")]


def _said(value: Any, name: str) -> str:
    """A value in a few words; what is long is counted, with the place where all of it is."""
    if _is_plain(value):
        return _plain(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        value = {each: one for each, one in value.items() if one is not None and _is_plain(one)}
        return ", ".join(f"{each} {_plain(one)}" for each, one in value.items()) or f"in .{name}"
    if isinstance(value, Mapping):
        if len(value) <= MOST_SHOWN and all(map(_is_plain, value.values())):
            return ", ".join(f"{each} {_plain(one)}" for each, one in value.items())
        return f"{len(value):,}, in .{name}"
    if isinstance(value, Sequence):
        if len(value) <= MOST_SHOWN and all(map(_is_plain, value)):
            return ", ".join(map(_plain, value))
        return f"{len(value):,}, in .{name}"
    return f"in .{name}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | PurePath)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 0.001 <= abs(value) < 100 else f"{value:,.4g}"
    return str(value)
