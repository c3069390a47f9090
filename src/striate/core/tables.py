"""CSV text that spreadsheets open without running or breaking anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, one line a row even where a cell holds line breaks that not every reader quotes for."""
    lines = []
    for row in (header, *rows):
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\r\n").writerow(row)  # up to Python 3.12 a cell is quoted only for line breaks that are named here
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def spreadsheet_cell(text: str) -> str:
    """`text`, after an apostrophe where a spreadsheet would take it for a formula and run it."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
