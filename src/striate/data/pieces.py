"""Pictures that are no files of their own, but a member of an archive or a cell of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, eq=False)
class Piece:
    """A picture inside a file.

    Attributes:
        where: The file and its name there: shard.tar/cat17.jpg.
        content: Its bytes, read anew at each call.
    """

    where: str
    content: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The name without the file that it is in."""
        return self.where.rpartition("/")[2]

    def __str__(self) -> str:
        return self.where


PictureFile = Path | Piece
