"""Arrays: a pair (X, y), or an `.npz` file with Keras' keys."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import DataError, RefusedFileError
from striate.data.fitting import fit_images
from striate.data.records import DataSource, Part, checked_classes

KEYS = {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")}


def as_images(values: Any, name: str) -> np.ndarray:
    """Pictures as uint8 (n, h, w, c), from uint8 or from floats in [0, 1], (n, h, w) or (n, h, w, c).

    Raises:
        DataError: another shape, dtype or range; names the field.
    """
    array = np.asarray(values)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise DataError(f"{name} must be pictures (n, h, w) or (n, h, w, c), got shape {np.shape(values)}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise DataError(f"{name} must be uint8, or floats in [0, 1], got {array.dtype}", "Convert it: X.astype('uint8').")
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise DataError(f"{name} must be uint8, or floats in [0, 1], got floats from {array.min():g} to {array.max():g}", "Divide by 255.")
    return np.ascontiguousarray(np.rint(array * 255).astype(np.uint8))


def as_labels(values: Any, count: int, name: str) -> np.ndarray:
    """Labels as an array (n,) of whole numbers or text; one-hot rows become numbers.

    Raises:
        DataError: another shape or dtype, or not one label a picture; names the field.
    """
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "iufb" and np.isin(array, (0, 1)).all() and (array.sum(1) == 1).all():
        array = array.argmax(1)
    if array.ndim != 1 or array.dtype.kind not in "iuUb":
        raise DataError(f"{name} must be one whole number or one text a picture, got {array.dtype} {array.shape}")
    if len(array) != count:
        raise DataError(f"{name} has {len(array):,} labels for {count:,} pictures")
    return array


def open_arrays(splits: dict[str, tuple[Any, Any]], name: str) -> DataSource:
    """A source of arrays: split -> (X, y). The classes are the sorted labels of the training split.

    Raises:
        DataError: bad shapes, one class, or a label in another split that the training split has not.
    """
    images = {split: as_images(x, f"{name}: {KEYS[split][0]}") for split, (x, _) in splits.items()}
    raw = {split: as_labels(y, len(images[split]), f"{name}: {KEYS[split][1]}") for split, (_, y) in splits.items()}
    values = np.unique(raw["train"])
    classes = checked_classes(name, [str(value) for value in values], "Give labels of two classes or more.")
    parts = {}
    for split, labels in raw.items():
        unknown = sorted({str(label) for label in labels} - set(classes))
        if unknown:
            raise DataError(f"{name}: {KEYS[split][1]} has class {', '.join(unknown[:5])}, which y_train has not")
        numbers = np.searchsorted(values, labels).astype(np.int64)
        paths = tuple(f"{name}/{split}/{index:05d}" for index in range(len(labels)))
        parts[split] = partial(Part, numbers, paths, partial(fit_images, images[split]))
    shapes = {array.shape[1:] for array in images.values()}
    if len({shape[2] for shape in shapes}) != 1:
        raise DataError(f"{name}: the splits differ in their number of channels: {sorted(shapes)}")
    height, width, channels = images["train"].shape[1:]
    return DataSource(name, classes, channels, (height, width) if len(shapes) == 1 else None, parts)


def open_npz(path: Path) -> DataSource:
    """The arrays of an `.npz` file: x_train, y_train, and x_test, y_test, x_val, y_val where it has them.

    Raises:
        DataError: not such a file; names the key.
        RefusedFileError: it holds Python objects, which only pickle could read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {key: file[key] for key in file.files}
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise RefusedFileError(f"{path}: holds Python objects, which only pickle can read", "Save plain number arrays.") from None
        raise DataError(f"{path}: cannot be read as .npz: {error}") from None
    except (OSError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise DataError(f"{path}: cannot be read as .npz: {error}") from None
    missing = [key for key in KEYS["train"] if key not in content]
    if missing:
        raise DataError(
            f"{path}: has no {' and no '.join(missing)}; it holds {', '.join(content) or 'nothing'}",
            "Save the arrays as x_train, y_train, x_test, y_test.",
        )
    splits = {}
    for split, (x, y) in KEYS.items():
        if (x in content) != (y in content):
            raise DataError(f"{path}: {x} and {y} must come together")
        if x in content:
            splits[split] = (content[x], content[y])
    return open_arrays(splits, path.stem)
