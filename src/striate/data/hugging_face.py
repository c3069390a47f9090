"""Image sets of Hugging Face's `datasets`: folders that `save_to_disk` wrote, and Parquet files with the pictures inside.

pyarrow reads them; the `datasets` package is not needed. An arrow file stays on the disk and is mapped, a Parquet file is held in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.core.bounded import read_json
from striate.core.errors import DataError
from striate.core.targets import Task
from striate.data.layout import SYNONYMS
from striate.data.listing import of_systems
from striate.data.manifest import Row, opened_manifest
from striate.data.omissions import Ledger, some
from striate.data.pieces import PictureFile, Piece
from striate.data.reading import Reading
from striate.data.records import DataSource
from striate.data.shards import splits_of_files
from striate.data.tables import PARQUET, Table, arrow_for, as_cell, read_parquet

INFO, STATE, SPLITS_FILE = "dataset_info.json", "state.json", "dataset_dict.json"
MOST_BYTES = 2**26  # of a description
REMEDY = "Write it again with datasets: dataset.save_to_disk(folder)."

Features = Mapping[str, Mapping[str, Any]]


def is_saved_set(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote a folder, of one split or of several."""
    return (folder / SPLITS_FILE).is_file() or ((folder / STATE).is_file() and (folder / INFO).is_file())


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files that a path means: itself, or those of a folder that holds nothing else to read."""
    if not path.is_dir():
        return [path] if path.suffix.lower() == PARQUET else []
    inside = [one for one in path.iterdir() if not of_systems(one.name) and one.suffix not in (".json", ".md", ".txt")]
    return sorted(inside) if inside and all(one.suffix.lower() == PARQUET and one.is_file() for one in inside) else []


def open_saved_set(folder: Path, reading: Reading, **how: Any) -> DataSource:
    """The pictures of a folder that `save_to_disk` wrote; the arrow files are mapped, not read.

    Raises:
        DataError: a file is missing or damaged, or there is no column of pictures; or as of `open_manifest`.
        EnvironmentFault: pyarrow is not installed.
    """
    folders = {"": folder}
    if (folder / SPLITS_FILE).is_file():
        names = _described(folder / SPLITS_FILE, "splits")
        folders = {name: folder / name for name in names}
    tables, features = [], {}
    for split, place in folders.items():
        features = _described(place / INFO, "features")
        files = [place / str(one["filename"]) for one in _described(place / STATE, "_data_files")]
        tables.append((split, _mapped(files)))
    return _opened(folder, tables, features, reading, **how)


def open_parquet_set(path: Path, files: Sequence[Path], reading: Reading, **how: Any) -> DataSource | None:
    """The pictures inside Parquet files, whose names tell the splits; None if they hold no pictures, but perhaps a table of paths.

    Raises:
        DataError: a file is damaged; or as of `open_manifest`.
        EnvironmentFault: pyarrow is not installed, or they do not fit into the memory that is free.
    """
    splits = splits_of_files(files)
    tables = [(splits[file], read_parquet(file)) for file in files]
    said = (tables[0][1].schema.metadata or {}).get(b"huggingface")
    features = json.loads(said).get("info", {}).get("features", {}) if said else {}
    if _pictures(tables[0][1], features) is None:
        return None
    return _opened(path, tables, features, reading, **how)


def _described(path: Path, name: str) -> Any:
    """An entry of a description.

    Raises:
        DataError: there is none.
    """
    data = read_json(path, limit=MOST_BYTES, remedy=REMEDY) if path.is_file() else None
    if not isinstance(data, dict) or not data.get(name):
        raise DataError(f"{path}: does not tell the {name.strip('_')} of the set", REMEDY)
    return data[name]


def _mapped(files: Sequence[Path]) -> Any:
    """The arrow table of files of one split."""
    arrow, ipc = arrow_for(files[0], "pyarrow"), arrow_for(files[0], "pyarrow.ipc")
    tables = []
    for file in files:
        try:
            tables.append(ipc.open_stream(arrow.memory_map(str(file))).read_all())
        except (arrow.ArrowException, OSError) as error:
            raise DataError(f"{file}: cannot be read as an arrow file: {error}", REMEDY) from None
    return arrow.concat_tables(tables)


def _pictures(table: Any, features: Features) -> str | None:
    """The column that holds pictures: bytes, alone or beside a path."""
    for name in table.column_names:
        kind = str(table.schema.field(name).type)
        if features.get(name, {}).get("_type") == "Image" or kind in ("binary", "large_binary") or kind.startswith("struct<bytes: "):
            return str(name)
    return None


def _opened(
    path: Path,
    tables: Sequence[tuple[str, Any]],
    features: Features,
    reading: Reading,
    *,
    task: Task | None = None,
    skip_unreadable: bool = False,
    to_train: bool = True,
    look_into: bool = True,
) -> DataSource:
    """The pictures of arrow tables, by split."""
    pictures = _pictures(tables[0][1], features)
    if pictures is None:
        names = tables[0][1].column_names
        raise DataError(f"{path}: no column holds pictures; it has {', '.join(names[:20])}", "Cast it to Image before it is saved.")
    columns: dict[str, list[str]] = {"path": [], "split": []}
    rows: list[Row] = []
    for split, table in tables:
        if pictures not in table.column_names or set(table.column_names) != set(tables[0][1].column_names):
            raise DataError(f"{path}: its splits have different columns: {some(table.column_names)}", "Save them with the same columns.")
        known = SYNONYMS.get(split.lower(), "train") if split else "train"
        for name in table.column_names:
            if name not in (pictures, "path", "split"):
                columns.setdefault(name, []).extend(_cells(table.column(name).to_pylist(), features.get(name, {})))
        for place in range(table.num_rows):
            name = f"{split or 'train'}/{place:06d}"
            rows.append(Row(_piece(path, name, table.column(pictures), place), name, len(rows)))
            columns["path"].append(name)
            columns["split"].append(known)
    table = Table(path, columns, range(1, len(rows) + 1), "row")
    return opened_manifest(
        table, reading, (rows, Ledger(), []), task, skip_unreadable=skip_unreadable, to_train=to_train, look_into=look_into
    )


def _cells(values: Sequence[Any], feature: Mapping[str, Any]) -> list[str]:
    """The values as text; numbers of classes by their names."""
    names = feature.get("names") or feature.get("feature", {}).get("names")
    if not isinstance(names, list):
        return [as_cell(value) for value in values]

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(each) for each in value]
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None  # -1: no label

    return [as_cell(named(value)) for value in values]


def _piece(path: Path, name: str, column: Any, place: int) -> PictureFile:
    """The picture in a cell: bytes, or a file that it names."""

    def content() -> bytes:
        value = column[place].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(data, bytes):
            return data
        file = value.get("path") if isinstance(value, dict) else value
        try:
            return Path(str(file)).read_bytes()
        except OSError:
            raise DataError(f"{path}/{name}: holds no picture, but the name of a file that is not there: {file}", REMEDY) from None

    return Piece(f"{path}/{name}", content)
