"""Arrays: a pair (X, y), or an `.npz` file with Keras' keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import DataError
from striate.core.images import Kind
from striate.core.targets import Task
from striate.data.archives import npz_arrays
from striate.data.fitting import fit_images
from striate.data.identities import picture_digests
from striate.data.ranges import as_bytes, channels_without_rows, refuse_masked, reshaping
from striate.data.records import DataSource, Images, Part, alike_in_words, checked_classes
from striate.data.signals import as_signals, as_steps, kind_of_array, rows_of
from striate.data.targets import COLUMNS, as_it_came, is_gap, is_one_hot, plain, task_in_words, task_of

CHANNELS = (1, 3, 4)  # of grey pictures, of coloured ones, and of those with transparency
OF_GAPS = ("nan", "NaN", "None", "<NA>", "NaT")  # as Python and pandas write what is not there
SAME_SIZE = (
    "Cut or pad all samples to one size, and stack them; with zeros behind shorter signals: "
    "X = numpy.stack([numpy.pad(x, ((0, longest - len(x)), (0, 0))) for x in X])."
)
KEYS = {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")}


def as_samples(values: Any, name: str, kind: Kind | None = None) -> np.ndarray:
    """Pictures as `as_images` has them, or samples of another kind as `as_signals` has them; None: the kind that the axes indicate.

    Raises:
        DataError: another shape, dtype or range; names the field.
    """
    array = _as_array(values, name, SAME_SIZE)
    kind = kind or kind_of_array(array)
    if kind != "pictures":
        return as_signals(array, kind, name)
    try:
        return as_images(values, name)
    except DataError as error:
        if array.ndim == 3 and array.dtype.kind == "f":
            error.remedy = f"{error.remedy} For signals (n, l, c), train with `network='signal_cnn'`."
        raise


def as_images(values: Any, name: str) -> np.ndarray:
    """Pictures as uint8 (n, h, w, c), from (n, h, w) or (n, h, w, c) as `as_bytes` takes them.

    Raises:
        DataError: another shape, dtype or range; names the field.
    """
    array = _as_array(values, name, "Resize all pictures to one size.")
    if array.ndim == 3:
        if array.shape[1] > max(CHANNELS) and array.shape[2] in CHANNELS:
            message = f"{name} must be pictures (n, h, w) or (n, h, w, c), got shape {array.shape}, whose last axis looks like channels"
            raise DataError(message, channels_without_rows(array.shape))
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        remedy = reshaping(np.shape(values), of_objects=array.dtype.kind == "O")
        raise DataError(f"{name} must be pictures (n, h, w) or (n, h, w, c), got shape {np.shape(values)}", remedy)
    if array.shape[1] <= 4 < array.shape[3] or _is_square_with_channels_first(array.shape):
        message = f"{name} must be pictures (n, h, w, c), got shape {array.shape}, which looks like (n, c, h, w)"
        raise DataError(message, "Move the channels last: X.transpose(0, 2, 3, 1).")
    return as_bytes(array, name)


def _is_square_with_channels_first(shape: tuple[int, ...]) -> bool:
    """Return whether (n, a, b, c) is square as (n, c, h, w) but not as (n, h, w, c), like (n, 1, 3, 3)."""
    return shape[1] in CHANNELS and shape[2] == shape[3] > 1 and shape[1] != shape[2]


def doubts_in_words(name: str, classes: tuple[str, ...]) -> list[str]:
    """Notes on class names that are probably not intended."""
    gaps = [one for one in classes if one in OF_GAPS]
    notes = (
        [f"{name}: {', '.join(map(repr, gaps))} is read as a separate class; leave those pictures out if they have no label"]
        if gaps
        else []
    )
    return notes + alike_in_words(name, classes)


def as_labels(values: Any, count: int, name: str) -> np.ndarray:
    """Labels as an array (n,) of whole numbers or text; one-hot rows become numbers, bytes text, and whole floats whole numbers.

    Raises:
        DataError: another shape or dtype, a picture without a label, or not one label per picture; names the field.
    """
    array = plain(as_it_came(_as_array(values, name, "Give one whole number or one string per picture."), values))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and is_one_hot(array):
        if empty := int((array.sum(1) == 0).sum()):
            message = f"{name} has one-hot rows of {array.shape[1]} classes, but {empty:,} of its {len(array):,} rows are all 0: no class"
            remedy = "Leave those pictures out, or give them a column of their own; if pictures may have no label, `task='multilabel'`."
            raise DataError(message, remedy)
        array = array.argmax(1)
    if array.ndim == 1 and (missing := _missing(array)):
        raise DataError(f"{name} has no label ({missing[0]}) for {missing[1]:,} of {len(array):,} pictures", "Leave those pictures out.")
    if array.ndim == 1 and array.dtype.kind == "f" and (array == np.rint(array)).all():
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iuUb":
        raise DataError(
            f"{name} must be one whole number or one string per picture, got {array.dtype} {array.shape}", _labels_remedy(array)
        )
    if len(array) != count:
        raise DataError(f"{name} has {len(array):,} labels for {count:,} pictures", "Give one label per picture.")
    return array


def _missing(array: np.ndarray) -> tuple[str, int] | None:
    """The value that stands for missing labels (n,), and their number; None if none is missing."""
    if array.dtype.kind == "f":
        found = ("NaN", int(np.isnan(array).sum()))
    elif array.dtype.kind == "O":
        found = ("None or NaN", sum(is_gap(item) for item in array))
    else:
        found = ("an empty string", sum(not text.strip() for text in array.tolist()) if array.dtype.kind == "U" else 0)
    return found if found[1] else None


def _labels_remedy(array: np.ndarray) -> str:
    if array.dtype.kind == "f" and array.ndim == 1:
        return "To estimate numbers, train with `task='regression'` (ImageRegressor); for classes, give each a whole number or a name."
    if array.ndim == 2:
        several = "for several labels per picture, `task='multilabel'`; for a label at each step of signals, `task='segment'`"
        return f"Give the class of each picture, or one-hot rows of 0 and 1; {several}."
    if array.ndim > 2:
        return "Give the pictures first and the labels second: (X, y)."
    return "Give each picture a label of one kind: all whole numbers, or all text."


def plain_array(values: Any) -> np.ndarray:
    """A plain NumPy array of an array, a matrix or a torch tensor, wherever that is and whether or not it has a gradient."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype.is_floating_point else values)
    return np.asarray(values)


def _as_array(values: Any, name: str, remedy: str) -> np.ndarray:
    refuse_masked(values, name)
    try:
        return plain_array(values)
    except ValueError:
        raise DataError(f"{name} is not one array: its items differ in shape", remedy) from None


def open_arrays(
    splits: dict[str, tuple[Any, Any]],
    name: str,
    fields: dict[str, tuple[str, str]] | None = None,
    *,
    task: Task | None = None,
    kind: Kind | None = None,
    names: Any = None,
    to_train: bool = True,
) -> DataSource:
    """A source of arrays: split -> (X, y). The classes are the sorted labels of the training split.

    Args:
        splits: The arrays; at least of train where it is to be trained on.
        name: The name of the source, and of its pictures.
        fields: The names of the arrays of each split in errors; Keras' keys by default.
        task: The task of the targets; None infers it from the training split's (`task_of`).
        kind: The kind of the samples; None infers it from the axes of the training split (`kind_of_array`).
        names: The names of the columns of numbers or of labels; "y", or their indices, by default.
        to_train: Whether a network is to be trained on them; else the classes are the labels of all splits, also a single one.

    Raises:
        DataError: bad shapes, one class, or a label in another split that the training split has not.
    """
    words = {split: tuple(f"{name}: {field}" for field in pair) for split, pair in (fields or KEYS).items()}
    splits, notes = _without_empty(splits, words)
    first = "train" if "train" in splits else next(iter(splits))
    kind = kind or kind_of_array(_as_array(splits[first][0], words[first][0], "Give all samples one size, and stack them: numpy.stack(X)."))
    images = {split: as_samples(x, words[split][0], kind) for split, (x, _) in splits.items()}
    asked, task = task, task or task_of(splits[first][1])
    labels = {split: _targets(y, images[split], words[split][1], task) for split, (_, y) in splits.items()}
    if asked is None:
        notes += task_in_words(task, splits[first][1], words[first][1])
    if task not in COLUMNS:
        if to_train:
            found = [str(value) for value in np.unique(labels["train"])]
            classes = checked_classes(words["train"][1], found, "Give labels of two classes or more.")
        else:
            classes = tuple(sorted({str(value) for values in labels.values() for value in np.unique(values)}))
        labels = {split: numbered(values, classes, words[split][1]) for split, values in labels.items()}
        notes += doubts_in_words(words[first][1], classes)
    else:
        classes = _column_names(labels, words, task, names)
    parts = {}
    for split, values in labels.items():
        paths = tuple(f"{name}/{split}/{index:05d}" for index in range(len(values)))
        images_of: Images = partial(fit_images if kind == "pictures" else rows_of, images[split])
        parts[split] = partial(Part, values, paths, images_of, digests=partial(picture_digests, images[split]))
    shapes = sorted({array.shape[1:] for array in images.values()})
    if kind != "pictures":
        return _of_signals(DataSource(name, classes, shapes[0][-1], None, parts, tuple(notes), task, kind=kind), shapes, words[first][0])
    if len({shape[2] for shape in shapes}) != 1:
        raise DataError(f"{name}: the splits differ in their number of channels: {shapes}", "Convert them to the same number.")
    height, width, channels = images[first].shape[1:]
    if channels > 4:
        read = f"{words[first][0]}: read as pictures of {height} x {width} with {channels} channels"
        notes.append(f"{read}; if it is (n, c, h, w), move the channels last: X.transpose(0, 2, 3, 1)")
    return DataSource(name, classes, channels, (height, width) if len(shapes) == 1 else None, parts, tuple(notes), task)


def _of_signals(source: DataSource, shapes: list[tuple[int, ...]], name: str) -> DataSource:
    """The source of samples of these shapes (..., c) that are no pictures, with the note on how they were read.

    Raises:
        DataError: the shapes of the splits differ.
    """
    if len(shapes) > 1:
        raise DataError(f"{source.name}: the splits differ in the shape of their {source.kind}: {shapes}", "Give them the same shape.")
    (*extent, channels), kind = shapes[0], source.kind
    size = f"{channels} column{'s' * (channels > 1)}"
    if extent:
        size = f"{' x '.join(map(str, extent))} places and {channels} channel{'s' * (channels > 1)}"
    side = round(channels**0.5)
    flat = f"; flattened pictures: X.reshape(-1, {side}, {side})" if kind == "rows" and side >= 8 and side * side == channels else ""
    note = f"{name}: read as {'the rows of a table' if kind == 'rows' else kind} of {size}{flat}"
    return dataclasses.replace(source, extent=tuple(extent), notes=(note, *source.notes))


def _without_empty(splits: dict[str, tuple[Any, Any]], words: dict[str, tuple[str, ...]]) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """The splits that hold something, always with the training split; and notes on the others."""
    empty = [split for split, (x, y) in splits.items() if split != "train" and np.shape(x)[:1] == (0,) == np.shape(y)[:1]]
    notes = [f"{words[split][0]} holds no pictures: the data has no {split} split" for split in empty]
    return {split: arrays for split, arrays in splits.items() if split not in empty}, notes


READERS: dict[Task, Callable[[Any, int, str], np.ndarray]] = {  # of the tasks whose targets are arrays
    "classify": as_labels,
    **{task: columns.read for task, columns in COLUMNS.items()},
}


def _targets(values: Any, samples: np.ndarray, name: str, task: Task) -> np.ndarray:
    count = len(samples)
    if task == "segment" and samples.dtype != np.uint8:
        labels = plain(as_it_came(_as_array(values, name, "Give all samples the same number of labels."), values))
        return as_steps(labels, samples.shape[1:-1], count, name)
    if task not in READERS:
        raise DataError(f"{name}: arrays cannot be used with `task={task!r}`", "Give a folder of images/ and masks/.")
    return READERS[task](values, count, name)


def _column_names(labels: dict[str, np.ndarray], words: dict[str, tuple[str, ...]], task: Task, names: Any) -> tuple[str, ...]:
    """The names of the columns of the targets, if all splits have the same number of them."""
    first = "train" if "train" in labels else next(iter(labels))
    columns = labels[first].shape[1]
    for split, values in labels.items():
        if values.shape[1] != columns:
            message = (
                f"{words[split][1]} has {values.shape[1]} columns, but the {'training' if first == 'train' else first} split has {columns}"
            )
            raise DataError(message, "Give the same targets for each split.")
    if names is None:
        single = "y" if columns == 1 else None
        return (single,) if single else tuple(COLUMNS[task].column.format(k) for k in range(columns))
    given = tuple(str(name) for name in np.asarray(names).reshape(-1))
    if len(given) != columns or len(set(given)) != columns:
        raise DataError(f"y_names must be {columns} different names, one per column of the targets, got {', '.join(given)}")
    return given


def numbered(labels: np.ndarray, classes: tuple[str, ...], name: str) -> np.ndarray:
    """The labels (n, ...) int64 as indices into `classes`, mapped by name.

    Raises:
        DataError: a label is not among them; names the field.
    """
    values, places = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values]
    if unknown := [value for value in names if value not in classes]:
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        remedy = f"Known: {', '.join(classes[:20])}."
        raise DataError(f"{name} has class {', '.join(map(repr, unknown[:5]))}{more}, which the training labels do not have", remedy)
    return np.array([classes.index(value) for value in names], np.int64)[places.reshape(labels.shape)]


def open_npz(path: Path, *, task: Task | None = None, kind: Kind | None = None, to_train: bool = True) -> DataSource:
    """The arrays of an `.npz` file: x_train, y_train, and x_test, y_test, x_val, y_val where it has them.

    Without `to_train`, it need not have the first two where it has others.

    Where the targets are numbers or sets of labels, y_names may name their columns.

    Raises:
        DataError: not such a file; names the key.
        RefusedFileError: it holds Python objects, which only pickle could read.
    """
    splits, names = npz_splits(path, to_train=to_train)
    try:
        return open_arrays(splits, path.stem, task=task, kind=kind, names=names, to_train=to_train)
    except DataError as error:
        raise DataError(f"{path}: {error.message.removeprefix(f'{path.stem}: ')}", error.remedy) from None


def npz_splits(path: Path, *, to_train: bool = True) -> tuple[dict[str, tuple[Any, Any]], Any]:
    """The pairs of arrays of an `.npz` file by their splits, and its y_names; errors as of `open_npz`."""
    content = npz_arrays(path)
    missing = [key for key in KEYS["train"] if key not in content]
    if missing and (to_train or not any(key in content for pair in KEYS.values() for key in pair)):
        raise DataError(
            f"{path}: has no {' and no '.join(missing)}; it holds {', '.join(content) or 'nothing'}",
            "Save the arrays as x_train, y_train, x_test, y_test.",
        )
    splits = {}
    for split, (x, y) in KEYS.items():
        if (x in content) != (y in content):
            raise DataError(f"{path}: {x} and {y} must come together", "Save both, or neither.")
        if x in content:
            splits[split] = (content[x], content[y])
    return splits, content.get("y_names")
