"""Opening data: a named set, a folder, a table, shards, an `.npz` file, or a pair of arrays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import DataError, UnknownNameError, UsageError
from striate.core.images import AS_IT_COMES, Form
from striate.core.places import near
from striate.core.targets import Task
from striate.data.arrays import KEYS, npz_splits, open_arrays, open_npz
from striate.data.dropped import DropList, read_drop_list, without_dropped
from striate.data.folder import open_folder
from striate.data.hugging_face import is_saved_set, open_parquet_set, open_saved_set, parquet_files
from striate.data.input_effects import InputEffect
from striate.data.kinds import OF_TABLES
from striate.data.layout import Layout
from striate.data.manifest import lists_pictures, open_manifest
from striate.data.masks import open_masks
from striate.data.named import NAMED, open_named
from striate.data.pair_files import INPUT, TARGET, open_pairs
from striate.data.pairs import pairs_of_arrays, pairs_of_source, source_of_pictures
from striate.data.reading import AS_USUAL, Reading
from striate.data.records import SPLITS, DataSource, Facts
from striate.data.shards import BRACES, open_shards, shards_of
from striate.data.tables import open_table, read_table

FILES = (*OF_TABLES, ".tar", ".npz")
KNOWN = "Give a folder of pictures, a table of them, an .npz file, or a named set."


def open_data(  # noqa: PLR0913  # all but the data say how it is read
    spec: str | os.PathLike[str] | tuple[Any, ...] | DataSource,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    skip_unreadable: bool = False,
    task: Task | None = None,
    form: Form = AS_IT_COMES,
    layout: Layout = "auto",
    reading: Reading = AS_USUAL,
    say: Callable[[str], None] = lambda _text: None,
    to_train: bool = True,
    look_into: bool = True,
    drop: Path | None = None,
) -> DataSource:
    """The data set that `spec` names; nothing is decoded yet. Files left out and decisions made are reported.

    Args:
        spec: A named set (`mnist`); the path of a folder, of a table of pictures or of numbers (`.csv`, `.tsv`, `.jsonl`, `.parquet`), of
            WebDataset shards (`.tar`), or of an `.npz` file; arrays (X, y), or (X, y, columns) with more facts of each sample, by name; or
            what is open already.
        data_dir: The folder of named sets; $STRIATE_DATA or ~/.cache/striate/data by default.
        download: Fetch a named set from its publisher when it is missing.
        skip_unreadable: Leave out pictures of a folder that cannot be decoded, and say so.
        task: The task of arrays' targets; None infers it from them. Named sets and folders have classes; segment reads a folder of
            pictures and masks, restore one of inputs and targets.
        form: The kind of the samples of arrays, which else is inferred from their axes, and the columns of a table. Named sets and
            folders have pictures. With an effect, which is of restore, any pictures are targets, and inputs are made of them.
        layout: How to read the subfolders of a folder if their names are ambiguous.
        reading: The columns of a table of pictures, and the rules for paths that tell classes and groups.
        say: Receives a line for the user.
        to_train: True if a network will be trained on it, which needs a training split with two classes; else it is used as it is.
        look_into: False lists the files of a folder and opens none: whether they can be read turns out when they are decoded.
        drop: A list of pictures to leave out, as `striate check` writes it; those that have changed since are read, and reported.

    Raises:
        UnknownNameError: neither a named set nor a path that exists.
        DataError: missing, unreadable or unusable; names the file and the remedy.
        UsageError: the data has classes, but another task is wanted; or a field of `reading` has no use for the data.
    """
    listed = read_drop_list(drop) if drop is not None else None
    how = {"skip_unreadable": skip_unreadable, "to_train": to_train, "look_into": look_into}
    if isinstance(spec, DataSource):
        source = spec if listed is None else without_dropped(spec, listed)
    elif form.effect is not None:
        opened = partial(_opened_file, spec, data_dir, download, None, AS_IT_COMES, reading, **how)
        source = _with_inputs_made(spec, InputEffect.read(form.effect), opened, skip_unreadable, layout, to_train, listed)
    elif task == "restore":
        source = _pairs_of(spec, skip_unreadable, layout, to_train, listed)
    elif task == "segment" and isinstance(spec, str | os.PathLike) and Path(spec).suffix.lower() != ".npz":
        path = folder_of_masks(spec)
        source = open_masks(path, skip_unreadable=skip_unreadable, layout=layout, to_train=to_train, drop=listed)
    else:
        source = _opened(spec, data_dir, download, task, form, layout, reading, listed, **how)
    kind = form.kind or source.kind
    if source.kind != kind:
        remedy = f"Choose a network for {source.kind}, or give arrays (X, y) of {kind}."
        raise UsageError(f"the network takes {kind}, but {source.name} has {source.kind}", remedy)
    for note in source.notes:
        say(note)
    return source


def _opened(
    spec: str | os.PathLike[str] | tuple[Any, ...],
    data_dir: Path | None,
    download: bool,
    task: Task | None,
    form: Form,
    layout: Layout,
    reading: Reading,
    drop: DropList | None,
    **how: bool,
) -> DataSource:
    path = Path(spec).expanduser() if isinstance(spec, str | os.PathLike) and spec not in NAMED else None
    if path is not None and _kind(path)[0] and not (is_saved_set(path) or shards_of(path) or parquet_files(path)):
        _refuse_task(path, task)
        _refuse_reading(path, reading, how["to_train"], ("class_from", "group"))
        return open_folder(path, layout=layout, reading=reading, drop=drop, **how)
    source = _opened_file(spec, data_dir, download, task, form, reading, **how)
    return source if drop is None else without_dropped(source, drop)


def _opened_file(
    spec: str | os.PathLike[str] | tuple[Any, ...],
    data_dir: Path | None,
    download: bool,
    task: Task | None,
    form: Form,
    reading: Reading,
    **how: bool,
) -> DataSource:
    to_train = how["to_train"]
    if isinstance(spec, tuple) and (len(spec) == 2 or (len(spec) == 3 and isinstance(spec[2], Mapping))):
        _refuse_reading("arrays", reading, to_train)
        arrays = open_arrays({"train": spec[:2]}, "arrays", {"train": ("X", "y")}, task=task, kind=form.kind, to_train=to_train)
        return arrays if len(spec) == 2 else with_columns(arrays, spec[2])
    if not isinstance(spec, str | os.PathLike):
        raise UsageError(f"data must be a name, a path, or a pair of arrays (X, y), got {type(spec).__name__}")
    if isinstance(spec, str) and spec in NAMED:
        _refuse_task(spec, task)
        _refuse_reading(spec, reading, to_train)
        return open_named(spec, data_dir, download=download)
    path = Path(spec).expanduser()
    is_folder, is_file = _kind(path)
    if is_file and path.suffix.lower() == ".npz":
        _refuse_reading(path, reading, to_train)
        return open_npz(path, task=task, kind=form.kind, to_train=to_train)
    if is_folder and is_saved_set(path):
        return open_saved_set(path, reading, task=task, **how)
    if shards := shards_of(path) if is_folder or is_file or BRACES.search(path.name) else []:
        return open_shards(path, shards, reading, task=task, **how)
    if files := parquet_files(path) if is_folder or is_file else []:
        source = open_parquet_set(path, files, reading, task=task, **how)
        if source is not None:
            return source
    if is_file and path.suffix.lower() in OF_TABLES:
        return _of_table(path, reading, form, task, **how)
    if is_file:
        raise DataError(f"{path}: a data file must be one of {' '.join(FILES)}, got {path.suffix or 'no ending'}", KNOWN)
    if isinstance(spec, str) and os.sep not in spec and "." not in spec:
        if spec in SPLITS:
            raise UsageError(f"{spec}: no data set or folder, but a split", f"Say `split={spec!r}`.")
        raise UnknownNameError("data set", spec, NAMED, "`striate datasets` lists all; a folder is given by its path, such as ./photos.")
    problem = "neither a folder nor a plain file" if path.exists() else "no such folder or file"
    raise DataError(f"{path}: {problem}", near(path, KNOWN))


def with_columns(source: DataSource, columns: Mapping[str, Any]) -> DataSource:
    """The data of arrays with `columns` that the user gives beside them: by their names, one value for each sample.

    Raises:
        DataError: there are none, or one holds another number of values.
    """
    count = source.num_images("train")
    cells = {str(name): np.asarray(values) for name, values in columns.items()}
    bad = next((f"{name!r} has shape {found.shape}" for name, found in cells.items() if found.shape != (count,)), None)
    if not cells or bad:
        came = bad or "got none"
        raise DataError(f"arrays: columns must be names with {count:,} values each, {came}", "Give (X, y, {'name': values}).")
    part = source.parts["train"]()
    return dataclasses.replace(
        source, parts={"train": lambda: part._replace(facts=Facts({name: each.astype(str) for name, each in cells.items()}))}
    )


def _of_table(path: Path, reading: Reading, form: Form, task: Task | None, **how: bool) -> DataSource:
    """A table of pictures, or of numbers; a network that takes one of them decides."""
    table = read_table(path)
    if form.kind == "pictures" or (form.kind is None and lists_pictures(table, reading)):
        if form.target is not None:
            reading = dataclasses.replace(reading, columns={**reading.columns, "label": form.target})
        return open_manifest(table, reading, task=task, **how)
    _refuse_reading(path, reading, how["to_train"])
    return open_table(table, form.target, form.columns, task=task, to_train=how["to_train"])


def _refuse_reading(data: object, reading: Reading, to_train: bool, able: tuple[str, ...] = ()) -> None:
    """Refuse to train where a field says what the data does not have; a trained model may be used on data of another form."""
    unused = [name for name in reading.in_use if name not in able]
    if to_train and unused:
        what = "a folder of pictures" if able else "no table of pictures"
        raise UsageError(f"`{unused[0]}`: has no effect, as {data} is {what}", "Leave it out, or give a table with a row for each picture.")


def _refuse_task(data: object, task: Task | None) -> None:
    if task not in (None, "classify"):
        raise UsageError(f"{data}: has one class per picture, which `task={task!r}` cannot use", "Give an .npz file, or arrays (X, y).")


def _kind(path: Path) -> tuple[bool, bool]:
    """Return whether `path` is a folder, and whether it is a file."""
    try:
        return path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long, a folder on the way that may not be entered
        raise DataError(f"{path}: cannot be opened: {error.strerror}", "Check the path and its permissions.") from None


def _with_inputs_made(
    spec: Any,
    effect: InputEffect,
    opened: Callable[[], DataSource],
    skip_unreadable: bool,
    layout: Layout,
    to_train: bool,
    drop: DropList | None,
) -> DataSource:
    """The pictures that `spec` names, as targets whose inputs `effect` makes; `opened` opens what is no folder of pictures.

    Raises:
        UsageError: the folder holds inputs and targets, and a network is to be trained on it.
    """
    if isinstance(spec, str | os.PathLike) and str(spec) not in NAMED and (path := Path(spec).expanduser()).is_dir():
        has_pairs = (path / INPUT).is_dir() and (path / TARGET).is_dir()
        if has_pairs and to_train:
            raise UsageError(f"{path}: has {INPUT}/ and {TARGET}/, so no inputs are to be made", "Leave `input_effect` out.")
        chosen = None if has_pairs else effect
        return open_pairs(path, chosen, skip_unreadable=skip_unreadable, layout=layout, to_train=to_train, drop=drop)
    is_data = isinstance(spec, str | os.PathLike)
    source = opened() if is_data else source_of_pictures(spec[0] if isinstance(spec, tuple) else spec)
    return pairs_of_source(source if drop is None else without_dropped(source, drop), effect)


def _pairs_of(data: Any, skip_unreadable: bool, layout: Layout, to_train: bool, drop: DropList | None) -> DataSource:
    """The inputs and targets of arrays, of an `.npz` file or of a folder.

    Raises:
        UsageError: it is none of them.
        DataError: as `open_pairs` and `pairs_of_arrays`.
    """
    if isinstance(data, tuple) and len(data) == 2:
        source = pairs_of_arrays({"train": data}, "arrays", {"train": ("X", "Y")})
        return source if drop is None else without_dropped(source, drop)
    if not isinstance(data, str | os.PathLike):
        raise UsageError(f"data must be a path, or a pair of arrays (X, Y), got {type(data).__name__}")
    if Path(data).suffix.lower() == ".npz":
        source = pairs_of_arrays(npz_splits(Path(data), to_train=to_train)[0], str(data), KEYS)
        return source if drop is None else without_dropped(source, drop)
    if not Path(data).expanduser().is_dir():
        remedy = "Give a folder of input/ and target/; or make inputs of any pictures with `input_effect='noise:25'`."
        raise UsageError(f"{data}: no such folder of inputs and targets", near(Path(data), remedy))
    return open_pairs(Path(data).expanduser(), skip_unreadable=skip_unreadable, layout=layout, to_train=to_train, drop=drop)


def folder_of_masks(data: str | os.PathLike[str]) -> Path:
    """The folder of pictures and masks that `data` names.

    Raises:
        UsageError: it is not the path of a folder.
    """
    path = Path(data).expanduser()
    if not path.is_dir():
        remedy = "Give a folder with the pictures in images/ and their masks, PNG files with the same names, in masks/."
        raise UsageError(f"{data}: no such folder of pictures and masks", near(Path(data), remedy))
    return path
