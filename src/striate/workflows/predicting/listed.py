"""The pictures that a folder or a manifest names, one after the other, and the part of them that is one shard's."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from striate.core.errors import DataError, UsageError
from striate.data.listing import named_pictures
from striate.data.omissions import Ledger
from striate.data.reading import NAMES

MANIFESTS = (".csv", ".tsv", ".jsonl", ".txt")
PATH = "Name the column of paths `path`, or give a .txt file with a path a line."
SHARD = re.compile(r"(\d+)/(\d+)")


class Shard(NamedTuple):
    """One of several parts of a list: every `parts`-th picture, from the `number`-th on, counted from 1."""

    number: int = 1
    parts: int = 1

    @classmethod
    def read(cls, text: str | None) -> Shard:
        """The shard of such as `3/16`; the whole for None.

        Raises:
            UsageError: there is no such shard.
        """
        if text is None:
            return cls()
        found = SHARD.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"`shard` {text}: there is no such part", "Give its number from 1 on and how many there are, such as 3/16.")
        return cls(int(found[1]), int(found[2]))

    @property
    def name(self) -> str:
        """As the names of its files begin."""
        width = len(str(self.parts))
        return f"shard-{self.number:0{width}}-of-{self.parts}"

    def of(self, paths: Iterator[str]) -> Iterator[str]:
        """Its paths of all."""
        return itertools.islice(paths, self.number - 1, None, self.parts)


class Listed(NamedTuple):
    """A list of pictures that can be read again and again without being held."""

    paths: Callable[[], Iterator[str]]
    total: int
    sha256: str  # of the paths, one a line


def list_pictures(given: Sequence[Path], say: Callable[[str], None]) -> Listed:
    """The pictures of folders and files, or the paths in a manifest, .csv, .tsv, .jsonl or .txt.

    Paths in a manifest start from its folder. Nothing is decoded, and of a manifest nothing is held but the line that is read.

    Raises:
        DataError: there is no such file, no picture in it, or a manifest without paths.
    """
    if len(given) == 1 and given[0].suffix.lower() in MANIFESTS:
        manifest = given[0]
        if not manifest.is_file():
            raise DataError(f"{manifest}: no such file", "Check the name.")
        found = Listed(lambda: _lines_of(manifest), 0, "")
    else:
        ledger = Ledger()
        named: list[Any] = named_pictures(given, ledger, say)
        for place, path in enumerate(named):
            named[place] = str(path)  # in place: texts take a third of the memory of paths, and are not held beside them
        found = Listed(lambda: iter(named), 0, "")
    count, digest = 0, hashlib.sha256()
    for path in found.paths():
        digest.update(os.fsencode(path) + b"\n")
        count += 1
    if not count:
        raise DataError(f"{', '.join(map(str, given))}: no pictures are listed", PATH)
    return found._replace(total=count, sha256=digest.hexdigest())


def _lines_of(manifest: Path) -> Iterator[str]:
    folder = str(manifest.parent)
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            for cell in _cells_of(manifest, file):
                if cell.strip():
                    yield os.path.join(folder, cell) if folder != "." else cell  # noqa: PTH118  # a million Path objects take seconds
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest}: cannot be read: {getattr(error, 'strerror', None) or error}", "Write it as UTF-8 text.") from None


def _cells_of(manifest: Path, file: Iterator[str]) -> Iterator[str]:
    ending = manifest.suffix.lower()
    if ending == ".txt":
        yield from (line.rstrip("\r\n") for line in file)
    elif ending == ".jsonl":
        for number, line in enumerate(file, 1):
            if line.strip():
                record = _record(manifest, number, line)
                yield str(record[_column(manifest, tuple(record))])
    else:
        rows = csv.reader(file, delimiter="\t" if ending == ".tsv" else ",")
        header = next(rows, [])
        place = header.index(_column(manifest, header))
        yield from (row[place] for row in rows if len(row) > place)


def _record(manifest: Path, number: int, line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DataError(f"{manifest}, line {number}: is no record", PATH)
    return record


def _column(manifest: Path, names: Sequence[str]) -> str:
    plain = {name.strip().lower().replace(" ", "_"): name for name in reversed(names)}
    found = next((plain[usual] for usual in NAMES["path"] if usual in plain), None)
    if found is None:
        raise DataError(f"{manifest}: has no column of paths among {', '.join(names[:8]) or 'none'}", PATH)
    return found
