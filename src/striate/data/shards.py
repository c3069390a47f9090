"""WebDataset shards: tar files in which `key.jpg` stands beside its label in `key.cls`, `key.json` or `key.txt`."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from striate.core.errors import DataError
from striate.core.targets import Task
from striate.data.decode import MAX_BYTES
from striate.data.kinds import EXTENSIONS
from striate.data.layout import split_name
from striate.data.listing import of_systems
from striate.data.manifest import Row, opened_manifest
from striate.data.omissions import NO_LABEL, Ledger, count_of, some
from striate.data.pieces import Piece
from striate.data.reading import Reading
from striate.data.records import DataSource
from striate.data.tables import Table, as_cell

ENDING = ".tar"
LABELS = (".cls", ".json", ".txt")
MOST_BYTES = 2**16  # of a label
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
REMEDY = "Write it with webdataset's ShardWriter, or with tar: key.jpg and key.cls after one another, for each key."


class Member(NamedTuple):
    """The place of a file in a tar file."""

    shard: Path
    name: str
    start: int
    size: int

    def content(self) -> bytes:
        """Its bytes.

        Raises:
            DataError: the shard cannot be read, or has become shorter.
        """
        if self.size > MAX_BYTES:
            raise DataError(f"{self.size:,} bytes are too many for a picture", REMEDY)
        try:
            with self.shard.open("rb") as file:
                file.seek(self.start)
                data = file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.shard}: cannot be read: {error.strerror or error}", "Check that it is there.") from None
        if len(data) < self.size:
            raise DataError(f"{self.shard}: has changed since it was opened", "Start again, and do not change it meanwhile.")
        return data


def shards_of(path: Path) -> list[Path]:
    """The shards that a path means: a tar file, those of a folder that holds nothing else to read, or those of NAME-{000..009}.tar."""
    if braces := BRACES.search(path.name):
        first, last = braces[1], braces[2]
        numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
        return [path.with_name(path.name[: braces.start()] + number + path.name[braces.end() :]) for number in numbers]
    if path.is_dir():
        inside = [one for one in path.iterdir() if not of_systems(one.name) and one.suffix not in (".json", ".md", ".txt")]
        return sorted(inside) if inside and all(one.suffix.lower() == ENDING and one.is_file() for one in inside) else []
    return [path] if path.suffix.lower() == ENDING else []


def open_shards(
    path: Path,
    shards: Sequence[Path],
    reading: Reading,
    *,
    task: Task | None = None,
    skip_unreadable: bool = False,
    to_train: bool = True,
    look_into: bool = True,
) -> DataSource:
    """The pictures of shards; the names of the shards tell their split, as those of folders do, and nothing is unpacked.

    The label of `key.jpg` is the text of `key.cls` or of `key.txt`, or the column of the object in `key.json`. A picture without one is
    left out, and said.

    Raises:
        DataError: not a tar file, or a compressed one, whose members cannot be reached one by one; or as of `open_manifest`.
    """
    rows: list[Row] = []
    columns: dict[str, list[str]] = {"path": [], "split": []}
    ledger, split_of = Ledger(), splits_of_files(shards)
    for shard in shards:
        found = _members(shard)
        for key, parts in found.items():
            pictures = [ending for ending in parts if ending in EXTENSIONS]
            if not pictures:
                continue
            member = parts[pictures[0]]
            piece = Piece(f"{shard}/{member.name}", member.content)
            if (facts := _label(parts)) is None:
                ledger.leave_out(NO_LABEL, [piece])
                continue
            name = f"{shard.name}/{key}"
            for column in facts:
                columns.setdefault(column, [""] * len(rows))
            for column, cells in columns.items():
                cells.append({**facts, "path": name, "split": split_of[shard]}.get(column, ""))
            rows.append(Row(piece, name, len(rows)))
    if not rows:
        raise DataError(f"{path}: holds no pictures with labels" + (f"; {ledger.omissions()[0].words}" if ledger.paths else ""), REMEDY)
    table = Table(path, columns, range(1, len(rows) + 1), "picture")
    notes = [f"{path.name}: {count_of(shards, 'shard')}"] if len(shards) > 1 else []
    return opened_manifest(
        table, reading, (rows, ledger, notes), task, skip_unreadable=skip_unreadable, to_train=to_train, look_into=look_into
    )


def splits_of_files(shards: Sequence[Path]) -> dict[Path, str]:
    """The split of each shard, by its name; all are train where none of them is called so.

    Raises:
        DataError: one is called by no split where others are.
    """
    named = {shard: name.split if (name := split_name(shard.stem)) is not None else "" for shard in shards}
    if "train" not in named.values():
        return dict.fromkeys(shards, "train")
    if lost := [shard.name for shard, split in named.items() if not split]:
        raise DataError(
            f"{shards[0].parent}: {some(lost)} is called by no split, as others are", f"Rename it, such as train-000{shards[0].suffix}."
        )
    return named


def _members(shard: Path) -> dict[str, dict[str, Member]]:
    """The files of each key of a shard, by their endings in small letters."""
    found: dict[str, dict[str, Member]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                base = info.name.rpartition("/")[2]
                if not info.isreg() or info.sparse is not None or of_systems(base) or "." not in base:
                    continue
                stem, _, ending = base.partition(".")
                key, ending = info.name[: len(info.name) - len(base)] + stem, "." + ending.lower()
                if ending in found.setdefault(key, {}):
                    raise DataError(f"{shard}: holds {info.name} twice", REMEDY)
                found[key][ending] = Member(shard, info.name, info.offset_data, info.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        packed = "; a compressed one is to be unpacked once: gunzip" if shard.suffix.lower() != ENDING or _is_gzip(shard) else ""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{shard}: cannot be read as a tar file: {reason}{packed}", REMEDY) from None
    return found


def _is_gzip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError:
        return False


def _label(parts: Mapping[str, Member]) -> dict[str, str] | None:
    """The facts beside a picture, by the names of columns; None if there are none."""
    ending = next((ending for ending in LABELS if ending in parts), None)
    if ending is None:
        return None
    member = parts[ending]
    if member.size > MOST_BYTES:
        raise DataError(f"{member.shard}: {member.name} has {member.size:,} bytes, too many for a label", REMEDY)
    try:
        text = member.content().decode("utf-8-sig").strip()
        value = json.loads(text) if ending == ".json" else text
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{member.shard}: {member.name} cannot be read: {error}", REMEDY) from None
    if not isinstance(value, dict):
        return {"label": as_cell(value)}
    return {str(name): as_cell(each) for name, each in value.items() if name not in ("path", "split")}
