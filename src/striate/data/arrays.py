"""Arrays: a pair (X, y), or an `.npz` file with Keras' keys."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import DataError
from striate.data.fitting import fit_images
from striate.data.published import npz_arrays
from striate.data.records import DataSource, Part, checked_classes

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
    if not (array.min() >= 0 and array.max() <= 1):  # NaN is neither
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


def open_arrays(splits: dict[str, tuple[Any, Any]], name: str, fields: dict[str, tuple[str, str]] | None = None) -> DataSource:
    """A source of arrays: split -> (X, y). The classes are the sorted labels of the training split.

    Args:
        splits: The arrays; at least of train.
        name: What the source, and its pictures, are called.
        fields: What errors call the arrays of each split; Keras' keys by default.

    Raises:
        DataError: bad shapes, one class, or a label in another split that the training split has not.
    """
    words = {split: tuple(f"{name}: {field}" for field in pair) for split, pair in (fields or KEYS).items()}
    images = {split: as_images(x, words[split][0]) for split, (x, _) in splits.items()}
    labels = {split: as_labels(y, len(images[split]), words[split][1]) for split, (_, y) in splits.items()}
    classes = checked_classes(
        words["train"][1], [str(value) for value in np.unique(labels["train"])], "Give labels of two classes or more."
    )
    parts = {}
    for split, values in labels.items():
        numbers = numbered(values, classes, words[split][1])
        paths = tuple(f"{name}/{split}/{index:05d}" for index in range(len(values)))
        parts[split] = partial(Part, numbers, paths, partial(fit_images, images[split]))
    shapes = sorted({array.shape[1:] for array in images.values()})
    if len({shape[2] for shape in shapes}) != 1:
        raise DataError(f"{name}: the splits differ in their number of channels: {shapes}", "Bring them to one.")
    height, width, channels = images["train"].shape[1:]
    return DataSource(name, classes, channels, (height, width) if len(shapes) == 1 else None, parts)


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


def open_npz(path: Path) -> DataSource:
    """The arrays of an `.npz` file: x_train, y_train, and x_test, y_test, x_val, y_val where it has them.

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
    return open_arrays(splits, path.stem)
