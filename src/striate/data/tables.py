"""Tables in CSV, TSV, JSON lines and Parquet files; and those of numbers, with a column of classes or numbers to learn."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import importlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate.core.errors import DataError, EnvironmentFault, UnknownNameError
from striate.core.files import read_plain
from striate.core.memory import need_memory
from striate.core.targets import Task
from striate.data.arrays import open_arrays
from striate.data.records import DataSource

MAX_BYTES = 2**31
GROWTH = 12  # bytes of memory a byte of the file takes while it is read, at most
GAPS = ("", "na", "n/a", "nan", "null", "none", "?", "-")  # what stands for a missing value
DELIMITERS = ",;\t"
OF_JSON, PARQUET = (".jsonl", ".ndjson"), ".parquet"
BETWEEN = "\x1f"  # the items of a cell that holds a list
REMEDY = "Save it as CSV in UTF-8, with the names of its columns in the first line."
REMEDY_JSON = 'Save it with one object a line, in UTF-8: {"path": "a.jpg", "label": "cat"}.'


class Table(NamedTuple):
    """A table as text."""

    path: Path
    columns: dict[str, list[str]]  # the cells of each, in the order of the file
    lines: Sequence[int]  # of the file, where each row ends; of a Parquet file its number
    unit: str = "line"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.columns)

    def where(self, place: int) -> str:
        """The file and the line of the row at a place."""
        return f"{self.path}: {self.unit} {self.lines[place]}"

    def column(self, name: str) -> list[str]:
        """The cells (n,) of a column.

        Raises:
            UnknownNameError: there is no such column; gives the nearest.
        """
        if name not in self.columns:
            raise UnknownNameError(f"column of {self.path}:", name, self.names, f"It has {', '.join(self.names[:20])}.")
        return self.columns[name]

    def numbers(self, names: tuple[str, ...]) -> np.ndarray:
        """(n, columns) float64.

        Raises:
            DataError: a column or a value is missing, or a value is no number; names the column and the line.
        """
        if missing := [name for name in names if name not in self.columns]:
            message = f"{self.path}: has no column {', '.join(map(repr, missing[:5]))}, which the model was trained on"
            raise DataError(message, f"It has {', '.join(self.names[:20])}.")
        return np.stack([self._numbers(name) for name in names], 1)

    def _numbers(self, name: str) -> np.ndarray:
        cells = self.column(name)
        try:
            numbers = np.array(cells).astype(np.float64)
        except ValueError:
            numbers = None
        if numbers is not None and np.isfinite(numbers).all():
            return numbers
        bad = [place for place, cell in enumerate(cells) if not is_number(cell)]
        where = f"{self.where(bad[0])}, column {name!r}"
        more = f" ({len(bad):,} of {len(cells):,} rows have no number there)" if len(bad) > 1 else ""
        if cells[bad[0]].strip().lower() in GAPS:
            raise DataError(f"{where}: the value is missing{more}", "Fill it in, or leave those rows, or that column, out.")
        message = f"{where}: must be a finite number, got {cells[bad[0]]!r}{more}"
        raise DataError(message, "Give each category a number, or a column of 0 and 1 each; or leave that column out.")


def is_number(cell: str) -> bool:
    """Return whether a cell holds a finite number."""
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def read_table(path: Path) -> Table:
    """The cells of a file: CSV separated by commas, semicolons or tabs, JSON lines, or Parquet by pyarrow.

    Rows without any text, as spreadsheets leave them, are not read.

    Raises:
        DataError: not such a file, without rows, or a row has more or fewer cells than the first line; names the line.
        RefusedFileError: not a plain file, or too large.
        EnvironmentFault: it does not fit into the memory that is free, or pyarrow is not installed.
    """
    ending = path.suffix.lower()
    if ending == PARQUET:
        return _parquet(path)
    data = read_plain(path, limit=MAX_BYTES, remedy=REMEDY)
    need_memory(GROWTH * len(data), f"{path}: its table", "Use fewer rows.")
    return _json_lines(path, data) if ending in OF_JSON else _separated(path, data)


def _text(path: Path, data: bytes, remedy: str) -> str:
    """The text of a file in UTF-8, or in the UTF-16 that spreadsheets mark."""
    try:
        return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}: line {line}: not UTF-8 (byte {data[error.start]:#04x})", remedy) from None


def _separated(path: Path, data: bytes) -> Table:
    """The table of a CSV file."""
    text = _text(path, data, REMEDY)
    first, _, rest = text.partition("\n")
    said = first.strip().lower()
    skipped = said.startswith("sep=") and len(said) <= 5  # by which spreadsheets name the separator
    if skipped:
        text, first = rest, rest.partition("\n")[0]
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count), strict=True)
        found = [(reader.line_num + skipped, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}", REMEDY) from None
    names = tuple(name.strip() for name in found[0][1]) if found else ()
    if len(found) < 2 or len(names) < 2:
        raise DataError(f"{path}: a table needs two columns and one row at least, below the names of the columns", REMEDY)
    if len(set(names)) < len(names) or "" in names or all(map(is_number, names)):
        raise DataError(f"{path}: the first line must name the columns, each differently, got {', '.join(names[:10])}", REMEDY)
    for line, row in found:
        if len(row) != len(names):
            raise DataError(f"{path}: line {line} has {len(row)} cells, but there are {len(names)} columns", REMEDY)
    cells = zip(*(row for _, row in found[1:]), strict=True)
    return Table(path, {name: _shared(column) for name, column in zip(names, cells, strict=True)}, [line for line, _ in found[1:]])


def _shared(cells: Sequence[str]) -> list[str]:
    """The cells, equal ones as one object, so that a million labels take little memory."""
    return [sys.intern(cell) for cell in cells]


def _json_lines(path: Path, data: bytes) -> Table:
    """The table of a file with an object a line; what an object lacks is an empty cell."""
    rows: list[tuple[int, dict[str, str]]] = []
    for line, text in enumerate(_text(path, data, REMEDY_JSON).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {line}: not JSON: {error}", REMEDY_JSON) from None
        if not text.lstrip().startswith("{"):
            raise DataError(f"{path}: line {line}: must be an object, got {text.strip()[:40]}", REMEDY_JSON)
        if len(dict(pairs)) < len(pairs):
            raise DataError(f"{path}: line {line}: names a column twice", REMEDY_JSON)
        rows.append((line, {name: as_cell(value) for name, value in pairs}))
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    if not names:
        raise DataError(f"{path}: holds no rows", REMEDY_JSON)
    return Table(path, {name: _shared([row.get(name, "") for _, row in rows]) for name in names}, [line for line, _ in rows])


def as_cell(value: Any) -> str:
    """A value of JSON or Arrow as the text of a cell: a list with `BETWEEN` between its items, what is missing as nothing."""
    if value is None:
        return ""
    if isinstance(value, list):
        return BETWEEN.join(map(as_cell, value))
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _parquet(path: Path) -> Table:
    """The table of a Parquet file."""
    table = read_parquet(path)
    columns = {name: _shared([as_cell(value) for value in table.column(name).to_pylist()]) for name in table.column_names}
    if not table.num_rows:
        raise DataError(f"{path}: holds no rows", "Give a table with a row for each picture.")
    return Table(path, columns, range(1, table.num_rows + 1), "row")


def read_parquet(path: Path) -> Any:
    """The pyarrow table of a Parquet file.

    Raises:
        DataError: it is none.
        EnvironmentFault: pyarrow is not installed, or it does not fit into the memory that is free.
    """
    arrow, parquet = arrow_for(path, "pyarrow"), arrow_for(path, "pyarrow.parquet")
    try:
        need_memory(GROWTH * path.stat().st_size, f"{path}: its table", "Use fewer rows.")
        table = parquet.read_table(path, memory_map=True)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}", "Save it again.") from None
    if len(set(table.column_names)) < len(table.column_names):
        raise DataError(f"{path}: names a column twice", "Save it again with different names.")
    return table


def arrow_for(path: Path, module: str) -> Any:
    """The module of pyarrow that a file needs.

    Raises:
        EnvironmentFault: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        message = f"{path}: needs pyarrow to be read, which is not installed"
        raise EnvironmentFault(message, "Install it with: pip install 'striate[tables]'; or save the table as CSV.") from None


def open_table(
    table: Table, target: str | None = None, columns: tuple[str, ...] = (), *, task: Task | None = None, to_train: bool = True
) -> DataSource:
    """The rows of a table, without splits, and their classes or numbers in the column `target`, by default the last.

    Args:
        table: The table.
        target: The column to learn.
        columns: Those to learn from, in this order; by default all others.
        task: The task; None infers it from the target's values.
        to_train: Whether a network is to be trained on it.

    Raises:
        UnknownNameError: there is no column `target` to train on.
        DataError: a column or a value is missing, or a value is no number; or a row has no target.
    """
    path = table.path
    name = target or table.names[-1]
    if not to_train and name not in table.names:
        raise DataError(f"{path}: has no column {name!r}, which the model learned", f"It has {', '.join(table.names[:20])}.")
    answers = table.column(name)
    if gaps := [place for place, cell in enumerate(answers) if cell.strip().lower() in GAPS]:
        message = f"{table.where(gaps[0])}, column {name!r}: {len(gaps):,} of {len(answers):,} rows have no target"
        raise DataError(message, "Leave those rows out.")
    numeric = all(map(is_number, set(answers)))
    rows = table.numbers(columns := columns or tuple(one for one in table.names if one != name))
    values = np.array(answers, np.float64 if numeric and task != "multilabel" else np.str_)
    fields = {"train": ("rows", name)}
    source = open_arrays({"train": (rows, values)}, path.stem, fields, task=task, kind="rows", names=[name], to_train=to_train)
    note = f"{path.stem}: learns column {name!r}, the last; choose another with `target`"
    notes = source.notes if target is not None else (note, *source.notes)
    return dataclasses.replace(source, columns=columns, target=name, notes=notes)
