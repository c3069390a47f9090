"""Tables as text: aligned for a terminal, and as CSV that spreadsheets open without running or breaking anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, one line a row even where a cell holds line breaks that not every reader quotes for."""
    lines = []
    for row in (header, *rows):
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\r\n").writerow(row)  # up to Python 3.12 a cell is quoted only for line breaks that are named here
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def aligned(heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int]) -> str:
    """A table in columns, two spaces between them; those of `right` are set right. Lines are never wrapped."""
    widths = [max(len(row[column]) for row in [heading, *rows]) for column in range(len(heading))]
    lines = []
    for row in [heading, *rows]:
        cells = (cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def spreadsheet_cell(text: str) -> str:
    """`text`, after an apostrophe where a spreadsheet would take it for a formula and run it."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
