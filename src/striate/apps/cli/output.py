"""Showing results and errors: the one place from which text goes to stdout and stderr."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from striate.apps.cli.flags import with_flags
from striate.core.text import Lines, in_lines, json_text, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from striate.core.errors import StriateError

Report = TypeVar("Report")
PIPED = 120  # columns of sentences where there is no terminal
ABOUT = re.compile(r"\w+ {2,}")  # "sizes    ", before what there is to say


def print_json(report: Any) -> None:
    """A report as JSON on stdout, and nothing else. Values that are not finite become null."""
    from pydantic import TypeAdapter

    print_data(json_text(TypeAdapter(type(report)).dump_python(report, mode="json", by_alias=True), indent=2) + "\n")


def print_data(text: str) -> None:
    """Text for another program, on stdout: exact, and in UTF-8 whatever the console's encoding."""
    _in_utf8(sys.stdout)
    sys.stdout.write(text)


def print_report(report: Report, summary: Callable[[Report], Lines], *, as_json: bool, fold: bool = False) -> None:
    """A report on stdout: as JSON, or its `summary` as text, whose long sentences are folded if `fold`."""
    if as_json:
        print_json(report)
        return
    text = with_flags(summary(report))
    print_text(folded(text, line_width()) if fold else text)


def print_text(text: str) -> None:
    """Text for the user, on stdout; control characters are escaped."""
    sys.stdout.write(shown(text))


def say(text: str) -> None:
    """A line for the user, on stderr; control characters are escaped."""
    sys.stderr.write(shown(with_flags(text)) + "\n")


def _in_utf8(stream: TextIO) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8")


class Results(io.FileIO):
    """The stream behind stdout. If its reader has closed it (`| head`), the rest is dropped; any other failure is reported."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            lead_nowhere(self.fileno())
            return len(data)
        except OSError as error:
            from striate.core.errors import EnvironmentFault

            lead_nowhere(self.fileno())  # the interpreter tries again at its end
            remedy = "Free some space, or send the output elsewhere; the files that the command wrote are complete."
            raise EnvironmentFault(f"stdout: cannot write: {error.strerror or error}", remedy) from None


class Talk(io.FileIO):
    """The stream behind stderr. The work matters more than messages about it: a failure to write is ignored."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            lead_nowhere(self.fileno())
            return len(data)


def lead_nowhere(number: int) -> None:
    """Discard everything written to this file descriptor."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def steady_outputs() -> None:
    """Let stdout and stderr accept every character, and handle a full disk or a closed reader as `Results` and `Talk` do."""
    open_closed_outputs()
    sys.stdout = _steady(sys.stdout, Results)
    sys.stderr = _steady(sys.stderr, Talk)


def _steady(stream: TextIO, kind: type[io.FileIO]) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO:  # a console of Windows, or not a file: a test's
        return stream
    stream.flush()
    file = kind(raw.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or kind is Talk,  # what is said is seen at once, also where the process is killed
        write_through=stream.write_through,
    )


def open_closed_outputs() -> None:
    """Redirect streams closed before the start (`>&-`) to nothing: a file opened later must not get their descriptor."""
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
    """The error on stderr, as text or as JSON; returns the exit code."""
    message, remedy = with_flags(error.message), with_flags(error.remedy)
    if as_json:
        _in_utf8(sys.stderr)
        sys.stderr.write(json_text({"error": {"kind": error.kind, "message": message, "remedy": remedy}}) + "\n")
    else:
        sys.stderr.write(f"error: {shown(message)}\n" + (f"  {shown(remedy)}\n" if remedy else ""))
    return error.exit_code


def report_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None, *, as_json: bool) -> None:
    """Report an unexpected error with its traceback, as the interpreter's last act; the exit code is that of an internal error."""
    import traceback

    from striate.core.errors import StriateError

    told = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(in_lines(told.split("\n")))
    said = StriateError(f"a bug in Striate: {kind.__name__}: {error}", "Please report it with the command and the lines above.")
    sys.exit(report_error(said, as_json=as_json))


def line_width() -> int:
    """The columns that long sentences on stdout are folded to: those of the terminal, `PIPED` where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED


def folded(text: str, width: int) -> Lines:
    """`text` with lines that are longer than `width` folded at blanks, and what follows indented."""
    folded = []
    for line in text.split("\n"):
        about = ABOUT.match(line)
        indent = " " * len(about[0]) if about else "  " if line.startswith(" ") else "    "
        folded += textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [line]
    return Lines("\n".join(folded))


def print_table(heading: list[str], rows: list[list[str]], right: set[int], *, fits: bool = False) -> None:
    """A plain table on stdout; the columns of `right` are set right.

    Lines are never wrapped: one that `fits` a terminal loses what its width has no room for, which is said; a pipe gets it whole.
    """
    from striate.core.tables import aligned, narrowed

    left_out: tuple[str, ...] = ()
    if fits and sys.stdout.isatty():
        heading, rows, left_out = narrowed(heading, rows, right, shutil.get_terminal_size().columns)
    print_text(aligned(heading, rows, right))
    if left_out:
        say(f"not shown, as the terminal is narrow: {', '.join(left_out)}; --json gives all")
