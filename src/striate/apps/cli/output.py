"""Showing results and errors."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from striate.core.errors import StriateError

Report = TypeVar("Report")


def print_json(report: Any) -> None:
    """A report as JSON on stdout, and nothing else. Values that are not finite become null."""
    from pydantic import TypeAdapter

    data = TypeAdapter(type(report)).dump_python(report, mode="json", by_alias=True)
    sys.stdout.write(json.dumps(_finite(data), indent=2, ensure_ascii=False) + "\n")


def print_report(report: Report, summary: Callable[[Report], str], *, as_json: bool) -> None:
    """A report on stdout: as JSON, or its `summary` for a person."""
    if as_json:
        print_json(report)
    else:
        sys.stdout.write(summary(report))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0:  # NaN, infinity
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def say(text: str) -> None:
    """A line for the person, on stderr; where nobody reads that any more, the work goes on without."""
    try:
        sys.stderr.write(text + "\n")
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)


def open_closed_outputs() -> None:
    """Let what was closed before the start (`>&-`) lead nowhere: a file that is opened later must not take its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the smallest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def report_error(error: StriateError, *, as_json: bool) -> int:
    """The error on stderr, for a person or as JSON; returns the exit code."""
    if as_json:
        record = {"error": {"kind": error.kind, "message": error.message, "remedy": error.remedy}}
        sys.stderr.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"error: {error.message}\n" + (f"  {error.remedy}\n" if error.remedy else ""))
    return error.exit_code


def report_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None, *, as_json: bool) -> None:
    """What nobody foresaw, for those who can mend it, as the interpreter's last word; the exit code is that of an internal error."""
    from striate.core.errors import StriateError

    sys.__excepthook__(kind, error, trace)
    said = StriateError(f"a fault in Striate: {kind.__name__}: {error}", "Please report it with the command and the lines above.")
    sys.exit(report_error(said, as_json=as_json))


def print_table(heading: list[str], rows: list[list[str]], right: set[int]) -> None:
    """A plain table on stdout; the columns of `right` are set right. Lines are never wrapped."""
    from striate.core.tables import aligned

    sys.stdout.write(aligned(heading, rows, right))
