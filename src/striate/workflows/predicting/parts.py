"""Files of answers: CSV, JSON lines or Parquet, each written whole or not at all."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any, Literal

from striate.core.errors import EnvironmentFault
from striate.core.tables import csv_text
from striate.core.text import json_text

Kind = Literal["csv", "jsonl", "parquet"]
TEXTS = ("path", "class", "labels", "error")  # columns that hold no number; and class2, class3, ...
Rows = Sequence[dict[str, Any]]


def part_bytes(kind: Kind, columns: Sequence[str], rows: Rows) -> bytes:
    """The rows, each by column; what a row lacks is empty."""
    return WRITERS[kind](columns, rows)


def need_writer(kind: Kind) -> None:
    """Refuse to begin where what writes such files is missing.

    Raises:
        EnvironmentFault: it is not installed.
    """
    if kind == "parquet":
        _arrow()


def _csv(columns: Sequence[str], rows: Rows) -> bytes:
    return csv_text(columns, [[row.get(name, "") for name in columns] for row in rows]).encode()


def _json_lines(columns: Sequence[str], rows: Rows) -> bytes:
    numbers = [name for name in columns if not _is_text(name)]
    return "".join(json_text({**row, **{name: float(row[name]) for name in numbers if name in row}}) + "\n" for row in rows).encode()


def _parquet(columns: Sequence[str], rows: Rows) -> bytes:
    arrow, parquet = _arrow()
    table = {
        name: arrow.array(
            [row.get(name) if _is_text(name) or name not in row else float(row[name]) for row in rows],
            arrow.string() if _is_text(name) else arrow.float64(),
        )
        for name in columns
    }
    file = io.BytesIO()
    parquet.write_table(arrow.table(table), file)
    return file.getvalue()


def _is_text(column: str) -> bool:
    return column in TEXTS or column.rstrip("0123456789") == "class"


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise EnvironmentFault(
            "Parquet files need pyarrow, which is not installed", "Install it: pip install striate[tables], or write csv or jsonl."
        ) from None


WRITERS: dict[Kind, Callable[[Sequence[str], Rows], bytes]] = {"csv": _csv, "jsonl": _json_lines, "parquet": _parquet}
