"""Tables in CSV files: columns of numbers, and one of classes or numbers to learn."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.core.errors import DataError, UnknownNameError
from striate.core.files import read_plain
from striate.core.memory import need_memory
from striate.core.targets import Task
from striate.data.arrays import open_arrays
from striate.data.records import DataSource

MAX_BYTES = 2**31
GROWTH = 12  # bytes of memory a byte of the file takes while it is read, at most
GAPS = ("", "na", "n/a", "nan", "null", "none", "?", "-")  # what stands for a missing value
DELIMITERS = ",;\t"
REMEDY = "Save it as CSV in UTF-8, with the names of its columns in the first line."


class Table(NamedTuple):
    """A CSV file as text."""

    path: Path
    names: tuple[str, ...]
    cells: np.ndarray  # (rows, columns) of text
    lines: list[int]  # of the file, where each row ends

    def column(self, name: str) -> np.ndarray:
        """The cells (n,) of a column.

        Raises:
            UnknownNameError: there is no such column; gives the nearest.
        """
        if name not in self.names:
            raise UnknownNameError(f"column of {self.path}:", name, self.names, f"It has {', '.join(self.names[:20])}.")
        cells: np.ndarray = self.cells[:, self.names.index(name)]
        return cells

    def numbers(self, names: tuple[str, ...]) -> np.ndarray:
        """(n, columns) float64.

        Raises:
            DataError: a column or a value is missing, or a value is no number; names the column and the line.
        """
        if missing := [name for name in names if name not in self.names]:
            message = f"{self.path}: has no column {', '.join(map(repr, missing[:5]))}, which the model was trained on"
            raise DataError(message, f"It has {', '.join(self.names[:20])}.")
        return np.stack([self._numbers(name) for name in names], 1)

    def _numbers(self, name: str) -> np.ndarray:
        cells = self.column(name)
        try:
            numbers = cells.astype(np.float64)
        except ValueError:
            numbers = None
        if numbers is not None and np.isfinite(numbers).all():
            return numbers
        bad = [place for place, cell in enumerate(cells.tolist()) if not is_number(cell)]
        where = f"{self.path}: line {self.lines[bad[0]]}, column {name!r}"
        more = f" ({len(bad):,} of {len(cells):,} rows have no number there)" if len(bad) > 1 else ""
        if cells[bad[0]].strip().lower() in GAPS:
            raise DataError(f"{where}: the value is missing{more}", "Fill it in, or leave those rows, or that column, out.")
        message = f"{where}: must be a finite number, got {str(cells[bad[0]])!r}{more}"
        raise DataError(message, "Give each category a number, or a column of 0 and 1 each; or leave that column out.")


def is_number(cell: str) -> bool:
    """Return whether a cell holds a finite number."""
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def read_table(path: Path) -> Table:
    """The cells of a CSV file, separated by commas, semicolons or tabs.

    Raises:
        DataError: not such a file, without rows, or a row has more or fewer cells than the first line; names the line.
        RefusedFileError: not a plain file, or too large.
        EnvironmentFault: it does not fit into the memory that is free.
    """
    data = read_plain(path, limit=MAX_BYTES, remedy=REMEDY)
    need_memory(GROWTH * len(data), f"{path}: its table", "Use fewer rows.")
    try:
        text = data.decode("utf-8-sig")
        first = text.partition("\n")[0]
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count), strict=True)
        found = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}", REMEDY) from None
    names = tuple(name.strip() for name in found[0][1]) if found else ()
    if len(found) < 2 or len(names) < 2:
        raise DataError(f"{path}: a table needs two columns and one row at least, below the names of the columns", REMEDY)
    if len(set(names)) < len(names) or "" in names or all(map(is_number, names)):
        raise DataError(f"{path}: the first line must name the columns, each differently, got {', '.join(names[:10])}", REMEDY)
    for line, row in found:
        if len(row) != len(names):
            raise DataError(f"{path}: line {line} has {len(row)} cells, but there are {len(names)} columns", REMEDY)
    return Table(path, names, np.array([row for _, row in found[1:]]), [line for line, _ in found[1:]])


def open_table(
    path: Path, target: str | None = None, columns: tuple[str, ...] = (), *, task: Task | None = None, to_train: bool = True
) -> DataSource:
    """The rows of a CSV file, without splits, and their classes or numbers in the column `target`, by default the last.

    Args:
        path: The file.
        target: The column to learn.
        columns: Those to learn from, in this order; by default all others.
        task: The task; None infers it from the target's values.
        to_train: Whether a network is to be trained on it.

    Raises:
        UnknownNameError: there is no column `target` to train on.
        DataError: as of `read_table`; a column or a value is missing, or a value is no number; or a row has no target.
    """
    table = read_table(path)
    name = target or table.names[-1]
    if not to_train and name not in table.names:
        raise DataError(f"{path}: has no column {name!r}, which the model learned", f"It has {', '.join(table.names[:20])}.")
    answers = table.column(name)
    if gaps := [place for place, cell in enumerate(answers.tolist()) if cell.strip().lower() in GAPS]:
        message = f"{path}: line {table.lines[gaps[0]]}, column {name!r}: {len(gaps):,} of {len(answers):,} rows have no target"
        raise DataError(message, "Leave those rows out.")
    numeric = all(map(is_number, set(answers.tolist())))
    rows = table.numbers(columns := columns or tuple(one for one in table.names if one != name))
    values = answers.astype(np.float64) if numeric and task != "multilabel" else answers
    fields = {"train": ("rows", name)}
    source = open_arrays({"train": (rows, values)}, path.stem, fields, task=task, kind="rows", names=[name], to_train=to_train)
    note = f"{path.stem}: learns column {name!r}, the last; choose another with `target`"
    notes = source.notes if target is not None else (note, *source.notes)
    return dataclasses.replace(source, columns=columns, target=name, notes=notes)
