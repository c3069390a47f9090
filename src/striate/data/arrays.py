"""Arrays: a pair (X, y), or an `.npz` file with Keras' keys."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import DataError
from striate.core.targets import Task
from striate.data.fitting import fit_images
from striate.data.published import npz_arrays
from striate.data.records import DataSource, Part, checked_classes
from striate.data.targets import as_label_sets, as_numbers, task_of

KEYS = {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")}


def as_images(values: Any, name: str) -> np.ndarray:
    """Pictures as uint8 (n, h, w, c), from uint8 or from floats in [0, 1], (n, h, w) or (n, h, w, c).

    Raises:
        DataError: another shape, dtype or range; names the field.
    """
    array = _as_array(values, name, "Bring all pictures to one size.")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise DataError(f"{name} must be pictures (n, h, w) or (n, h, w, c), got shape {np.shape(values)}", "Reshape it.")
    if array.shape[1] in (1, 3) and array.shape[3] > 4:
        message = f"{name} must be pictures (n, h, w, c), got shape {array.shape}, which looks like (n, c, h, w)"
        raise DataError(message, "Move the channels last: X.transpose(0, 2, 3, 1).")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise DataError(f"{name} must be uint8, or floats in [0, 1], got {array.dtype}", "Convert it: X.astype('uint8').")
    if bad := len(array) - int(np.isfinite(array).all((1, 2, 3)).sum()):
        raise DataError(f"{name} holds NaN or Inf in {bad:,} of {len(array):,} pictures", "Leave those pictures out.")
    if not (array.min() >= 0 and array.max() <= 1):
        raise DataError(f"{name} must be uint8, or floats in [0, 1], got floats from {array.min():g} to {array.max():g}", "Divide by 255.")
    return np.ascontiguousarray(np.rint(array * 255).astype(np.uint8))


def as_labels(values: Any, count: int, name: str) -> np.ndarray:
    """Labels as an array (n,) of whole numbers or text; one-hot rows become numbers.

    Raises:
        DataError: another shape or dtype, or not one label a picture; names the field.
    """
    array = _as_array(values, name, "Give one whole number or one text a picture.")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "iufb" and np.isin(array, (0, 1)).all() and (array.sum(1) == 1).all():
        array = array.argmax(1)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
        array = array.astype(str)
    if array.ndim != 1 or array.dtype.kind not in "iuUb":
        message = f"{name} must be one whole number or one text a picture, got {array.dtype} {array.shape}"
        raise DataError(message, "Convert it: y.astype(int), or one-hot rows of 0 and 1.")
    if len(array) != count:
        raise DataError(f"{name} has {len(array):,} labels for {count:,} pictures", "Give one label a picture.")
    return array


def _as_array(values: Any, name: str, remedy: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{name} is not one array: its items differ in shape", remedy) from None


def open_arrays(
    splits: dict[str, tuple[Any, Any]],
    name: str,
    fields: dict[str, tuple[str, str]] | None = None,
    *,
    task: Task | None = None,
    names: Any = None,
) -> DataSource:
    """A source of arrays: split -> (X, y). The classes are the sorted labels of the training split.

    Args:
        splits: The arrays; at least of train.
        name: What the source, and its pictures, are called.
        fields: What errors call the arrays of each split; Keras' keys by default.
        task: What the targets are for; None tells it from the training split's (`task_of`).
        names: What the columns of numbers or of labels are called; "y", or their places, by default.

    Raises:
        DataError: bad shapes, one class, or a label in another split that the training split has not.
    """
    words = {split: tuple(f"{name}: {field}" for field in pair) for split, pair in (fields or KEYS).items()}
    images = {split: as_images(x, words[split][0]) for split, (x, _) in splits.items()}
    task = task or task_of(splits["train"][1])
    labels = {split: _targets(y, len(images[split]), words[split][1], task) for split, (_, y) in splits.items()}
    if task == "classify":
        classes = checked_classes(
            words["train"][1], [str(value) for value in np.unique(labels["train"])], "Give labels of two classes or more."
        )
        labels = {split: numbered(values, classes, words[split][1]) for split, values in labels.items()}
    else:
        classes = _column_names(labels, words, task, names)
    parts = {}
    for split, values in labels.items():
        paths = tuple(f"{name}/{split}/{index:05d}" for index in range(len(values)))
        parts[split] = partial(Part, values, paths, partial(fit_images, images[split]))
    shapes = sorted({array.shape[1:] for array in images.values()})
    if len({shape[2] for shape in shapes}) != 1:
        raise DataError(f"{name}: the splits differ in their number of channels: {shapes}", "Bring them to one.")
    height, width, channels = images["train"].shape[1:]
    return DataSource(name, classes, channels, (height, width) if len(shapes) == 1 else None, parts, task=task)


def _targets(values: Any, count: int, name: str, task: Task) -> np.ndarray:
    if task == "classify":
        return as_labels(values, count, name)
    if task == "segment":
        raise DataError(f"{name}: arrays cannot be used with --task segment", "Give a folder of images/ and masks/.")
    return as_numbers(values, count, name) if task == "regression" else as_label_sets(values, count, name)


def _column_names(labels: dict[str, np.ndarray], words: dict[str, tuple[str, ...]], task: Task, names: Any) -> tuple[str, ...]:
    """What the columns of the targets are called, if all splits have the same number of them."""
    columns = labels["train"].shape[1]
    for split, values in labels.items():
        if values.shape[1] != columns:
            message = f"{words[split][1]} has {values.shape[1]} columns, but the training split has {columns}"
            raise DataError(message, "Give the same targets for each split.")
    if names is None:
        single = "y" if columns == 1 else None
        return (single,) if single else tuple(f"y{k}" if task == "regression" else str(k) for k in range(columns))
    given = tuple(str(name) for name in np.asarray(names).reshape(-1))
    if len(given) != columns or len(set(given)) != columns:
        raise DataError(f"y_names must be {columns} different names, a column of the targets each, got {', '.join(given)}")
    return given


def numbered(labels: np.ndarray, classes: tuple[str, ...], name: str) -> np.ndarray:
    """The labels (n,) int64 as places in `classes`, mapped by name.

    Raises:
        DataError: a label is not among them; names the field.
    """
    values, places = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values]
    if unknown := [value for value in names if value not in classes]:
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        remedy = f"Known: {', '.join(classes[:20])}."
        raise DataError(f"{name} has class {', '.join(map(repr, unknown[:5]))}{more}, which the training labels have not", remedy)
    return np.array([classes.index(value) for value in names], np.int64)[places.reshape(-1)]


def open_npz(path: Path, *, task: Task | None = None) -> DataSource:
    """The arrays of an `.npz` file: x_train, y_train, and x_test, y_test, x_val, y_val where it has them.

    Where the targets are numbers or sets of labels, y_names may name their columns.

    Raises:
        DataError: not such a file; names the key.
        RefusedFileError: it holds Python objects, which only pickle could read.
    """
    content = npz_arrays(path)
    missing = [key for key in KEYS["train"] if key not in content]
    if missing:
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
    try:
        return open_arrays(splits, path.stem, task=task, names=content.get("y_names"))
    except DataError as error:
        raise DataError(f"{path}: {error.message.removeprefix(f'{path.stem}: ')}", error.remedy) from None
