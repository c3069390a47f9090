"""Targets that are not one class a picture: numbers, and sets of labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.targets import TargetSpec, Task


def task_of(values: Any) -> Task:
    """What targets are for: floats (n,) or (n, k) for regression, rows (n, k) of 0 and 1 for multilabel, all else for classify.

    Rows of which each has a single 1 are classes, one-hot.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # rows that differ in length
        return "classify"
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iufb" and np.isin(array, (0, 1)).all():
        return "classify" if (array.sum(1) == 1).all() else "multilabel"
    return "regression" if array.dtype.kind == "f" and array.ndim in (1, 2) else "classify"


def as_numbers(values: Any, count: int, name: str) -> np.ndarray:
    """(n, k) float64: the targets of a regression, from (n,) or (n, k).

    Raises:
        DataError: another shape or dtype, not finite, or not one row a picture; names the field.
    """
    array = _rows(values, count, name, "numbers")
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise DataError(f"{name} must be finite numbers, but row {place} holds {array[place].tolist()}", "Leave those pictures out.")
    return array


def as_label_sets(values: Any, count: int, name: str) -> np.ndarray:
    """(n, k) float64 of 0 and 1: which labels each picture has.

    Raises:
        DataError: another shape, anything but 0 and 1, or not one row a picture; names the field.
    """
    array = _rows(values, count, name, "0 and 1")
    if not np.isin(array, (0, 1)).all():
        place = int(np.flatnonzero(~np.isin(array, (0, 1)).all(1))[0])
        remedy = "Give a column a label: 1 where the picture has it."
        raise DataError(f"{name} must be 0 or 1 for each label, but row {place} holds {array[place].tolist()}", remedy)
    return array


def target_spec(task: Task, labels: np.ndarray) -> TargetSpec | None:
    """What the outputs mean that are to learn the training targets `labels` (N, k); None for classes.

    A number that is the same for all pictures has deviation 1.
    """
    if task == "multilabel":
        return TargetSpec(task="multilabel")
    if task != "regression":
        return None
    std = labels.std(0)
    return TargetSpec(task="regression", mean=tuple(labels.mean(0).tolist()), std=tuple(np.where(std > 0, std, 1.0).tolist()))


def standardized(labels: np.ndarray, spec: TargetSpec | None) -> np.ndarray:
    """The targets as the network learns them: numbers with mean 0 and deviation 1 over the training set, all else as it is."""
    if spec is None or spec.task != "regression":
        return labels
    if labels.ndim != 2 or labels.shape[1] != len(spec.mean):
        raise UsageError(f"targets must have shape (N, {len(spec.mean)}), got {labels.shape}")
    return np.asarray((labels - np.array(spec.mean)) / np.array(spec.std))


def _rows(values: Any, count: int, name: str, wanted: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} is not one array: its rows differ in length", "Give as many columns in each row.") from None
    if array.dtype.kind not in "iufb" or array.ndim not in (1, 2) or 0 in array.shape:
        remedy = "Give one row a picture."
        raise DataError(f"{name} must be {wanted} of shape (n,) or (n, k), got {array.dtype} {array.shape}", remedy)
    if len(array) != count:
        raise DataError(f"{name} has {len(array):,} rows for {count:,} pictures", "Give one row a picture.")
    rows: np.ndarray = array.reshape(count, -1).astype(np.float64)
    return rows
