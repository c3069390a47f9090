"""A list of pictures to leave out: names below the data's folder, and digests by which a picture that has changed since is told.

`striate check --fix-list FILE` writes it as CSV, a row a picture: drop (yes or no, to be edited), name, sha256 (the first 8 bytes in hex;
empty of a file that could not be read), reason, and beside (what it is like, or the label that fits better).
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from striate.core.bounded import MAX_TEXT_BYTES
from striate.core.errors import DataError
from striate.core.files import read_plain, write_atomically
from striate.core.places import no_such_file
from striate.data.identities import file_digests, picture_digests
from striate.data.omissions import DROPPED, Ledger, some
from striate.data.records import DataSource

COLUMNS = ("drop", "name", "sha256", "reason", "beside")
WORDS = {"yes": True, "no": False}
REMEDY = f"It is a CSV file with the columns {', '.join(COLUMNS)}, as `striate check --fix-list` writes it; drop is yes or no."


Together = TypeVar("Together", bound=tuple[Path | None, ...])


class DropRow(NamedTuple):
    """A picture, and whether it is to be left out."""

    drop: bool
    name: str  # below the data's folder, with forward slashes
    digest: bytes  # empty: could not be read
    reason: str
    beside: str = ""


@dataclass(frozen=True)
class DropList:
    """The pictures that a list says to leave out.

    Attributes:
        path: The file.
        digests: By name.
    """

    path: Path
    digests: Mapping[str, bytes]

    def chosen(self, found: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
        """The names of `found` pictures, each with its digest, to leave out; and notes on those that changed or are not there."""
        same = [name for name, digest in found.items() if self.digests[name] in (b"", digest)]
        changed = [name for name in found if name not in set(same)]
        gone = [name for name in self.digests if name not in found]
        notes = []
        if changed:
            notes.append(f"{self.path.name}: {_pictures(changed, 'has', 'have')} changed since the list was written, read: {some(changed)}")
        if gone:
            notes.append(f"{self.path.name}: {_pictures(gone, 'is', 'are')} not there: {some(gone)}")
        return same, notes


def _pictures(names: Sequence[str], one: str, more: str) -> str:
    return f"1 picture {one}" if len(names) == 1 else f"{len(names):,} pictures {more}"


def write_drop_list(path: Path, rows: Sequence[DropRow]) -> None:
    """Write a list; errors as of `write_atomically`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([("yes" if row.drop else "no", row.name, row.digest.hex(), row.reason, row.beside) for row in rows])
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"), field="fix_list")


def read_drop_list(path: Path) -> DropList:
    """The rows of a list that say yes.

    Raises:
        DataError: there is no such file, or a row is not as it should be; names it.
    """
    if not path.is_file():
        raise no_such_file(path, "list of pictures to drop")
    text = read_plain(path, limit=MAX_TEXT_BYTES, remedy=REMEDY).decode("utf-8-sig", "surrogateescape")  # names may be no UTF-8
    header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    if tuple(header) != COLUMNS:
        raise DataError(f"{path}: must begin with {','.join(COLUMNS)}, got {','.join(header)[:100] or 'nothing'}", REMEDY)
    digests: dict[str, bytes] = {}
    for number, row in enumerate(rows, start=2):
        try:
            word, name, digest = row[0].strip().lower(), row[1], bytes.fromhex(row[2])
            drop = WORDS[word]
        except (IndexError, KeyError, ValueError):
            raise DataError(f"{path}, line {number}: not yes or no, a name and a hash: {', '.join(row)[:200]}", REMEDY) from None
        if drop:
            digests[name] = digest
    return DropList(path, digests)


def files_to_drop(drop: DropList, root: Path, paths: Sequence[Path]) -> tuple[set[Path], list[str]]:
    """The files below `root` to leave out, and notes; only those that the list names are read."""
    listed = {name: path for path in paths if (name := path.relative_to(root).as_posix()) in drop.digests}
    unread = {name for name in listed if not drop.digests[name]}
    named = [name for name in listed if name not in unread]
    digests = dict(zip(named, file_digests([listed[name] for name in named]), strict=True)) | dict.fromkeys(unread, b"")
    same, notes = drop.chosen(digests)
    return {listed[name] for name in same}, notes


def without_listed(
    drop: DropList | None, root: Path, files: Mapping[str, Sequence[Together]], ledger: Ledger
) -> tuple[dict[str, list[Together]], list[str]]:
    """Pictures with their masks or targets, by split, but for those of which a file is on the list; and notes, as `files_to_drop` gives.

    What a list names and cannot be read is no longer on the ledger.
    """
    if drop is None:
        return {split: list(found) for split, found in files.items()}, []
    every = [path for found in files.values() for together in found for path in together if path is not None]
    gone, notes = files_to_drop(drop, root, [*every, *ledger.unreadable])
    ledger.unreadable = {path: error for path, error in ledger.unreadable.items() if path not in gone}
    ledger.leave_out(DROPPED, gone)
    return {split: [together for together in found if gone.isdisjoint(together)] for split, found in files.items()}, notes


def without_dropped(source: DataSource, drop: DropList) -> DataSource:
    """A source without the pictures of a list; of a source whose files are gone already, the same."""
    places: dict[str, dict[str, int]] = {}
    found: dict[str, bytes] = {}
    for split in source.splits:
        part = source.parts[split]()
        listed = {name: place for place, name in enumerate(part.all_names(split)) if name in drop.digests}
        chosen = np.array(list(listed.values()), np.int64)
        if len(chosen):
            digests = picture_digests(part.images(None, chosen)) if part.files is None else file_digests([part.files[at] for at in chosen])
            found |= dict(zip(listed, digests, strict=True))
        places[split] = listed
    same, notes = drop.chosen(found)
    left = set(same)
    if left:
        notes.insert(0, f"{_pictures(same, 'is', 'are')} left out, as {drop.path.name} says: {some(same)}")

    def kept(split: str) -> np.ndarray:
        gone = [place for name, place in places[split].items() if name in left]
        return np.setdiff1d(np.arange(source.num_images(split)), gone)

    fewer = source.at_places({split: partial(kept, split) for split in source.splits})
    return dataclasses.replace(fewer, notes=(*source.notes, *notes))
