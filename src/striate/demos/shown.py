"""Input and output of a demo: settings in, tables of numbers and pictures out. A demo writes nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Cell = str | int | float


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The settings of every demo.

    `short` asks for fewer pictures and epochs: what is shown holds all the same.
    """

    seed: int = 0
    short: bool = False
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Numbers under a title: the first column names the row."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, name: str) -> dict[str, Cell]:
        """One column by the names of the rows."""
        place = self.heading.index(name)
        return {str(row[0]): row[place] for row in self.rows}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The result of a demo: its numbers, notes on them, and by file name (PNG or GIF) the functions that draw its pictures."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    pictures: dict[str, Callable[[], bytes]] = field(repr=False)


def word(cell: Cell) -> str:
    """A number or text for display: whole numbers with commas, others with four digits."""
    if isinstance(cell, int):
        return f"{cell:,}"
    return cell if isinstance(cell, str) else f"{cell:.4g}"
