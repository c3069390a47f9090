"""The base of all predictions: a sequence that is written as JSON, CSV and a DataFrame, and is displayed as a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from striate.core.errors import EnvironmentFault
from striate.core.images import Kind
from striate.core.tables import aligned, csv_text, html_table
from striate.core.text import json_text

SHOWN = 20  # answers that a notebook or a prompt shows

Item = TypeVar("Item")


class Answers(Sequence[Item]):
    """The answers for several pictures, in their order."""

    kind: Kind = "pictures"  # of the samples that were answered

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = tuple(items)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    @abstractmethod
    def to_data(self) -> list[dict[str, Any]]:
        """Plain records."""

    @abstractmethod
    def to_rows(self) -> list[list[object]]:
        """The records as a table, its header first."""

    def to_json(self) -> str:
        """The records as JSON text."""
        return json_text(self.to_data(), indent=2)

    def to_csv(self, path: str | PathLike[str] | None = None, *, spreadsheet: bool = False) -> str:
        """The records as CSV text; written to `path` too where one is given.

        Names and paths are as they are; with `spreadsheet` what a spreadsheet would run as a formula stands behind an apostrophe.
        """
        from striate.core.files import write_atomically

        header, *rows = self.to_rows()
        text = csv_text(header, rows, spreadsheet=spreadsheet)
        if path is not None:
            write_atomically(Path(path), text.encode(), field="path")
        return text

    def to_pandas(self) -> Any:
        """The records as a pandas DataFrame.

        Raises:
            EnvironmentFault: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise EnvironmentFault("to_pandas needs pandas, which is not installed", "Install it: pip install pandas.") from None
        header, *rows = self.to_rows()
        return pd.DataFrame(rows, columns=header)

    def _table(self) -> tuple[list[str], list[list[str]], str]:
        """The heading, the first rows, and a line below them."""
        heading, *rows = [[str(cell) for cell in row] for row in self.to_rows()]
        more = f"... and {len(rows) - SHOWN:,} more; to_csv() and to_pandas() have all\n" if len(rows) > SHOWN else ""
        return heading, rows[:SHOWN], more

    def __repr__(self) -> str:
        heading, rows, more = self._table()
        return (aligned(heading, rows, ()) + more).rstrip("\n")

    def _repr_html_(self) -> str:
        heading, rows, more = self._table()
        return html_table(heading, rows) + (f"<p>{more}</p>" if more else "")
