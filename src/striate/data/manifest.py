"""Manifests: tables that list pictures, `path,label[,split,group,weight]`, as CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.targets import Task
from striate.data.folder import UNSEEN, Pictures, in_threads, known_header, source_of_pictures, whole_header
from striate.data.grouping import refuse_spanning
from striate.data.kinds import is_picture_by_name
from striate.data.layout import SYNONYMS
from striate.data.omissions import ABSENT, Ledger, count_of, some, unreadable
from striate.data.pieces import PictureFile
from striate.data.reading import AS_USUAL, NAMES, REGEX, Reading, Role, by_rule, groups_by_rule, is_rule, no_match, rule_of
from striate.data.records import SPLITS, DataSource, Facts, alike_in_words, checked_classes
from striate.data.tables import BETWEEN, Table, is_number
from striate.data.targets import task_of

GAPS = ("", "nan", "na", "n/a", "<na>", "nat", "null")  # what stands for a missing label; "none" may be a class
SEPARATORS = re.compile(r"[;|]")  # between labels, where the separator is not given
LOOKED_AT = 20  # rows that tell whether a table lists pictures


class Row(NamedTuple):
    """The picture of a row."""

    file: PictureFile
    name: str  # below the root, or as the table has it
    place: int  # of its row, the first if there are several


def lists_pictures(table: Table, reading: Reading) -> bool:
    """Return whether a table is a manifest: a column of paths is named, or one with a usual name holds text that is no number."""
    if "path" in reading.columns:
        return True
    column = reading.column("path", table.names)
    cells = [cell.strip() for cell in table.columns.get(column or "", ())[:LOOKED_AT]]
    return any(cells) and not any(is_number(cell) for cell in cells if cell)


def open_manifest(
    table: Table,
    reading: Reading = AS_USUAL,
    *,
    task: Task | None = None,
    skip_unreadable: bool = False,
    to_train: bool = True,
    look_into: bool = True,
) -> DataSource:
    """The pictures that a table lists, with their labels.

    Paths start from the table's folder, or from `root` of the reading; absolute ones and those that leave the folder are followed, and
    said. Files without an ending are found by their names. The order of the rows changes nothing: pictures are sorted by class and name.

    Args:
        table: The table.
        reading: The columns, and rules for what they lack.
        task: classify, regression or multilabel; None: regression for numbers that are no whole ones, multilabel for lists of labels.
        skip_unreadable: Leave out pictures that are missing or cannot be decoded.
        to_train: Whether a network is to be trained on them, which needs a training split of two classes.
        look_into: False opens no picture: whether they can be read turns out when they are decoded.

    Raises:
        DataError: a column, a file, a label, a split, a group or a weight is missing or wrong; names the row.
    """
    return opened_manifest(
        table,
        reading,
        _rows(table, reading, skip_unreadable),
        task,
        skip_unreadable=skip_unreadable,
        to_train=to_train,
        look_into=look_into,
    )


def opened_manifest(
    table: Table,
    reading: Reading,
    found: tuple[list[Row], Ledger, list[str]],
    task: Task | None,
    *,
    skip_unreadable: bool = False,
    to_train: bool = True,
    look_into: bool = True,
) -> DataSource:
    """The same of rows whose pictures are found already, with what was left out and notes."""
    rows, ledger, notes = found
    files = [row.file for row in rows]
    headers, bad = in_threads(whole_header if skip_unreadable else known_header, files) if look_into else (dict.fromkeys(files, UNSEEN), {})
    ledger.refuse_or_skip(bad, skip=skip_unreadable)
    rows = [row for row in rows if row.file in headers]
    if not rows:
        raise unreadable(bad, "; no pictures are left") if bad else DataError(f"{table.path}: no pictures are left", _remedy(reading))
    label_column = _label_column(table, reading)
    cells = _labels(table, reading, label_column, rows)
    task, words = _task(cells, task, reading, label_column)
    notes += words
    rows, cells, more = _once(table, rows, cells, task)
    notes += more
    splits = _splits(table, reading, rows, to_train=to_train)
    facts = _facts(table, reading, rows, to_train=to_train)
    classes, labels, more = _targets(table, reading, task, cells, splits, rows, label_column, to_train=to_train)
    notes += [*more, *([] if task == "regression" else alike_in_words(str(table.path), classes))]
    names = [row.name for row in rows]
    order = sorted(range(len(rows)), key=lambda at: (int(labels[at]) if labels.ndim == 1 else 0, os.fsencode(names[at])))
    parts = {}
    for split in SPLITS:
        if places := [at for at in order if splits[at] == split]:
            chosen = np.array(places, np.int64)
            parts[split] = Pictures([rows[at].file for at in places], tuple(names[at] for at in places), labels[chosen], facts.take(chosen))
    if to_train and facts.groups is not None:
        refuse_spanning(str(table.path), {split: part.facts.groups for split, part in parts.items() if part.facts.groups is not None})
    notes = [_read_as(table, reading, label_column, len(rows)), *notes]
    return source_of_pictures(table.path.stem, classes, parts, headers, ledger, notes, look_into=look_into, task=task)


# ---- paths


def _rows(table: Table, reading: Reading, skip: bool) -> tuple[list[Row], Ledger, list[str]]:
    """The picture of each row whose file exists, what is left out, and notes."""
    column = reading.column("path", table.names)
    if column is None:
        raise DataError(f"{table.path}: has no column of paths; it has {', '.join(table.names[:20])}", _remedy(reading))
    cells = [cell.strip() for cell in table.column(column)]
    if empty := [place for place, cell in enumerate(cells) if not cell or "\0" in cell]:
        message = f"{table.where(empty[0])}, column {column!r}: {len(empty):,} of {len(cells):,} rows name no file"
        raise DataError(message, "Fill the path in, or leave those rows out.")
    root = Path(reading.root).expanduser() if reading.root is not None else table.path.parent
    if not root.is_dir():
        raise DataError(f"{root}: no such folder, which `root` names", "Give the folder that the paths of the table start from.")
    by_stem: dict[str, list[Path]] | None = None
    rows, absent = [], []
    for place, cell in enumerate(cells):
        path = root / cell
        if not path.is_file() and "\\" in cell:
            path = root / cell.replace("\\", "/")
        if not path.is_file() and not is_picture_by_name(cell):
            by_stem = _by_stem(root, cells) if by_stem is None else by_stem
            alike = by_stem.get(os.path.normpath(path), [])
            if len(alike) > 1:
                raise DataError(f"{table.where(place)}: {cell} may be {some(alike)}", "Give the ending, too.")
            path = alike[0] if alike else path
        if path.is_file():
            rows.append(Row(path, _name(path, root), place))
        else:
            absent.append((place, cell, path))
    ledger = Ledger()
    if absent:
        if not skip or not rows:
            raise _absent(table, absent, root, reading)
        ledger.leave_out(ABSENT, [path for _, _, path in absent])
    outside = [row.file for row in rows if row.name.startswith(("../", "/")) or Path(row.name).is_absolute()]
    return rows, ledger, [f"{count_of(outside)} outside {root}: {some(outside)}"] if outside else []


def _by_stem(root: Path, cells: Sequence[str]) -> dict[str, list[Path]]:
    """The pictures in the folders that the cells name, by their paths without the ending."""
    found: dict[str, list[Path]] = {}
    for folder in {os.path.normpath((root / cell).parent) for cell in cells}:
        try:
            files = sorted(Path(folder).iterdir())
        except OSError:
            continue
        for file in files:
            if is_picture_by_name(file.name):
                found.setdefault(str(file.with_suffix("")), []).append(file)
    return found


def _name(path: Path, root: Path) -> str:
    """The path seen from the root, with forward slashes; with ../ where it leaves it."""
    return os.path.relpath(path, root).replace(os.sep, "/")


def _absent(table: Table, absent: Sequence[tuple[int, str, Path]], root: Path, reading: Reading) -> DataError:
    """The error for missing files: all counted, the first named."""
    place, cell, path = absent[0]
    names = some([one for _, one, _ in absent])
    message = f"{table.where(place)}: {count_of(absent)} of {len(table.lines):,} rows not found: {names}; looked for {path}"
    remedy = "Leave them out with `skip_unreadable=True`"
    if "://" in cell:
        return DataError(message, f"Addresses are not downloaded: save the pictures. {remedy}.")
    if reading.root is None:
        remedy = f"Paths start from {root}; give another folder with `root`. {remedy}"
    return DataError(message, f"{remedy}.")


# ---- labels


def _label_column(table: Table, reading: Reading) -> str | None:
    """The column of labels; the only other one, where none has a usual name; None where a rule tells the classes."""
    if reading.class_from is not None:
        if "label" in reading.columns:
            raise UsageError("`columns` and `class_from` both tell where the classes are", "Give one of them.")
        return None
    column = reading.column("label", table.names)
    if column is not None:
        table.column(column)
        return column
    taken = {reading.column(role, table.names) for role in NAMES}
    others = [name for name in table.names if name not in taken]
    if len(others) == 1:
        return others[0]
    raise DataError(f"{table.path}: no column is called label; it has {', '.join(table.names[:20])}", _remedy(reading))


def _remedy(reading: Reading) -> str:
    given = dict(reading.columns) or {"path": "file", "label": "species"}
    return f"Name the columns, for example `columns={ {'path': 'file', 'label': 'species', **given}!r}`."


def _labels(table: Table, reading: Reading, column: str | None, rows: Sequence[Row]) -> list[str]:
    """The label of each row, as text."""
    if column is not None:
        cells = table.column(column)
        return [unicodedata.normalize("NFC", cells[row.place].strip()) for row in rows]
    rule, names = reading.class_from or "", [row.name for row in rows]
    found = by_rule(rule_of(rule, "class_from"), names)
    if lost := [name for name, label in zip(names, found, strict=True) if label is None]:
        if len(lost) == len(names):
            raise no_match(rule, str(table.path), names)
        message = f"{table.path}: `class_from={rule!r}` finds no class in {len(lost):,} of {len(names):,} paths: {some(lost)}"
        raise DataError(message, "Change the pattern, or leave those rows out.")
    return [label or "" for label in found]


def _task(cells: Sequence[str], task: Task | None, reading: Reading, column: str | None) -> tuple[Task, list[str]]:
    """The task, given or indicated by the labels, and the note on it."""
    if task is not None:
        return task, []
    there = [cell for cell in cells if cell.lower() not in GAPS]
    if any(BETWEEN in cell for cell in there) or (reading.separator is not None and any(reading.separator in cell for cell in there)):
        return "multilabel", []
    if listed := next((cell for cell in there if SEPARATORS.search(cell)), None):
        return "multilabel", [f"labels such as {listed!r} are read as several each (multilabel); if they are classes, `task='classify'`"]
    if there and all(map(is_number, there)) and not all(re.fullmatch(r"[+-]?\d+", cell) for cell in there):
        found = task_of(np.array(there, np.float64))
        if found == "regression":
            return found, [f"column {column!r} is read as numbers to estimate (regression); if they are classes, `task='classify'`"]
    return "classify", []


def labels_in(cell: str, separator: str | None) -> list[str]:
    """The labels of a cell that may hold several, in its order; none in an empty one."""
    if BETWEEN in cell:
        parts = cell.split(BETWEEN)
    elif separator is not None:
        parts = cell.split() if separator.isspace() else cell.split(separator)
    else:
        parts = re.split(r"[;|,]", cell)
    return [part for each in parts if (part := each.strip()) and part.lower() not in GAPS]


def _once(table: Table, rows: list[Row], cells: list[str], task: Task) -> tuple[list[Row], list[str], list[str]]:
    """Each picture once: the labels of several rows are joined where a picture may have several, and must be equal elsewhere."""
    first: dict[str, int] = {}
    again = []
    kept_rows: list[Row] = []
    kept: list[str] = []
    for row, cell in zip(rows, cells, strict=True):
        at = first.setdefault(row.name, len(kept_rows))
        if at == len(kept_rows):
            kept_rows.append(row)
            kept.append(cell)
            continue
        again.append(row.name)
        if task == "multilabel":
            kept[at] = BETWEEN.join(filter(None, (kept[at], cell)))
        elif kept[at] != cell:
            other = table.where(kept_rows[at].place).removeprefix(f"{table.path}: ")
            message = f"{table.where(row.place)}: {row.name} is labelled {cell!r}, but {kept[at]!r} in {other}"
            raise DataError(message, "Keep one of the rows; for several labels per picture, `task='multilabel'`.")
    if not again:
        return rows, cells, []
    words = "their labels are joined" if task == "multilabel" else "each picture is read once"
    number = f"{len(again):,} row{'s' if len(again) > 1 else ''}"
    return kept_rows, kept, [f"{number} of {table.path.name} name{'' if len(again) > 1 else 's'} a picture again: {some(again)}; {words}"]


def _targets(  # all of a table
    table: Table,
    reading: Reading,
    task: Task,
    cells: Sequence[str],
    splits: Sequence[str],
    rows: Sequence[Row],
    column: str | None,
    *,
    to_train: bool,
) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """The classes or the names of the targets, the targets, and notes."""
    where = f", column {column!r}" if column is not None else ""
    gaps = [at for at, cell in enumerate(cells) if cell.lower() in GAPS]
    if gaps and task != "multilabel":
        raise DataError(_without(table, where, rows, gaps, "label"), "Fill them in, or leave those rows out.")
    if task == "regression":
        if bad := [at for at, cell in enumerate(cells) if not is_number(cell)]:
            message = f"{table.where(rows[bad[0]].place)}{where}: must be a finite number, got {cells[bad[0]]!r}"
            message += f"; {len(bad):,} of {len(cells):,} are none: {some([rows[at].name for at in bad])}" if len(bad) > 1 else ""
            raise DataError(message, "Correct it; for classes, `task='classify'`.")
        return (column or "y",), np.array(cells, np.float64)[:, None], []
    if task not in ("classify", "multilabel"):
        raise UsageError(f"{table.path}: a table of pictures cannot be used with `task={task!r}`", "Give a folder of images/ and masks/.")
    sets = [labels_in(cell, reading.separator) for cell in cells] if task == "multilabel" else [[cell] for cell in cells]
    of_train = [each for each, split in zip(sets, splits, strict=True) if split == "train" or not to_train]
    classes = tuple(sorted({label for each in of_train for label in each}, key=os.fsencode))
    if to_train and task == "classify":
        checked_classes(str(table.path), classes, "Give pictures of two classes or more.")
    if not classes:
        raise DataError(f"{table.where(rows[0].place)}{where}: no picture has a label", "Fill them in.")
    index = {label: k for k, label in enumerate(classes)}
    if unknown := [at for at, each in enumerate(sets) if any(label not in index for label in each)]:
        at = unknown[0]
        label = next(label for label in sets[at] if label not in index)
        message = f"{table.where(rows[at].place)}{where}: class {label!r} of the {splits[at]} split is not in the training split"
        raise DataError(message, f"Correct it, or add training pictures of it. Known: {', '.join(classes[:20])}.")
    if task == "classify":
        return classes, np.array([index[each[0]] for each in sets], np.int64), []
    labels = np.zeros((len(sets), len(classes)))
    for at, each in enumerate(sets):
        labels[at, [index[label] for label in each]] = 1
    without = int((labels.sum(1) == 0).sum())
    return classes, labels, [f"{without:,} of {len(sets):,} pictures have none of the labels"] if without else []


# ---- splits, groups, weights


def _column(table: Table, reading: Reading, role: Role, *, to_train: bool) -> str | None:
    """The column of a role; None where there is none, or where it is named but no network is to be trained."""
    column = reading.column(role, table.names)
    if column is not None and (to_train or column in table.columns):
        table.column(column)
        return column
    return None


def _splits(table: Table, reading: Reading, rows: Sequence[Row], *, to_train: bool) -> list[str]:
    """The split of each row."""
    column = _column(table, reading, "split", to_train=to_train)
    if column is None:
        return ["train"] * len(rows)
    cells = table.column(column)
    splits = [SYNONYMS.get(cells[row.place].strip().lower(), "") for row in rows]
    if "" in splits:
        row = rows[splits.index("")]
        message = f"{table.where(row.place)}, column {column!r}: must be train, val or test, got {cells[row.place]!r}"
        raise DataError(message, "Correct it, or name another column of splits with `columns`.")
    if to_train and "train" not in splits:
        raise DataError(f"{table.path}: column {column!r} has no train; it has {', '.join(sorted(set(splits)))}", "Mark training pictures.")
    return splits


def _facts(table: Table, reading: Reading, rows: Sequence[Row], *, to_train: bool) -> Facts:
    """All cells of the rows, their groups and their weights."""
    places = [row.place for row in rows]
    path = reading.column("path", table.names)
    columns = {name: np.array([cells[place].strip() for place in places]) for name, cells in table.columns.items() if name != path}
    group = _column(table, reading, "group", to_train=to_train)
    groups = columns[group] if group is not None else None
    if reading.group is not None and is_rule(reading.group) and group is None:
        groups = columns["group"] = np.array(groups_by_rule(reading.group, [row.name for row in rows], str(table.path)))
    elif groups is not None and (groups == "").any():
        empty = np.flatnonzero(groups == "").tolist()
        message = _without(table, f", column {group!r}", rows, empty, "group")
        raise DataError(message, "Fill them in: a picture that belongs to no other gets a group of its own.")
    weight = _column(table, reading, "weight", to_train=to_train)
    return Facts(columns, groups, None if weight is None else _weights(table, weight, columns[weight].tolist(), places))


def _weights(table: Table, column: str, cells: Sequence[str], places: Sequence[int]) -> np.ndarray:
    """(N,) float64, finite and not negative."""
    if bad := [at for at, cell in enumerate(cells) if not is_number(cell) or float(cell) < 0]:
        message = f"{table.where(places[bad[0]])}, column {column!r}: a weight must be a number from 0 on, got {cells[bad[0]]!r}"
        raise DataError(message, "Correct it, or name another column of weights with `columns`.")
    weights = np.array(cells, np.float64)
    if not weights.any():
        raise DataError(f"{table.path}, column {column!r}: all weights are 0", "Give some pictures a weight.")
    return weights


# ---- words


def _without(table: Table, where: str, rows: Sequence[Row], gaps: Sequence[int], what: str) -> str:
    """The words on the rows at `gaps`, which lack something."""
    names = some([rows[at].name for at in gaps])
    return f"{table.where(rows[gaps[0]].place)}{where}: {len(gaps):,} of {len(rows):,} pictures have no {what}: {names}"


def _read_as(table: Table, reading: Reading, label: str | None, count: int) -> str:
    """The note on the columns that are used."""
    names = {role: column for role in NAMES if (column := reading.column(role, table.names)) is not None and column in table.columns}
    names["label"] = label if label is not None else str(reading.class_from)
    if reading.group is not None:
        names["group"] = reading.group
    if label is None:
        names["label"] = f"`class_from` {reading.class_from}"
    words = ", ".join(f"{role} {name if name.startswith(('`', REGEX)) else repr(name)}" for role, name in names.items())
    return f"{table.path.name}: {count:,} pictures, by the columns {words}"
