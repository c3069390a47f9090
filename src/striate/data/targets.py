"""Targets that are not one class per picture: numbers, and sets of labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.targets import TargetSpec, Task
from striate.data.ranges import refuse_masked

FEW = 20  # whole numbers, up to which floats are classes
EACH = 3  # pictures of each, at least


def task_of(values: Any) -> Task:
    """The task that targets indicate: floats (n,) or (n, k) regression, rows (n, k) of 0 and 1 multilabel, all others classify.

    Rows of which none has more than a single 1 are classes, one-hot. Floats (n,) are classes where they are whole numbers, at most 20
    different ones, with three pictures each on average: so files keep labels that passed through a table.
    """
    try:
        array = plain(np.asarray(values))
    except ValueError:  # rows that differ in length
        return "classify"
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iufb" and np.isin(array, (0, 1)).all():
        return "classify" if is_one_hot(array) else "multilabel"
    if array.dtype.kind != "f" or array.ndim not in (1, 2):
        return "classify"
    return "classify" if _are_few_whole_numbers(array) else "regression"


def _are_few_whole_numbers(array: np.ndarray) -> bool:
    """Return whether floats (n,) or (n, 1) are labels; missing ones (NaN) are ignored."""
    if array.ndim == 2 and array.shape[1] != 1:
        return False
    there = array[~np.isnan(array)]
    found = np.unique(there)
    return bool(len(found) and len(found) <= FEW and len(there) >= EACH * len(found) and (found == np.rint(found)).all())


def is_one_hot(array: np.ndarray) -> bool:
    """Return whether rows (n, k) are of 0 and 1 with at most a single 1, and some have one."""
    if array.dtype.kind not in "iufb" or not np.isin(array, (0, 1)).all():
        return False
    ones = array.sum(1)
    return bool(len(ones) and ones.max() == 1)


def task_in_words(task: Task, values: Any, name: str) -> list[str]:
    """The note on a task inferred from valid training targets `values`, if another could have been meant."""
    array = plain(np.asarray(values))
    if array.dtype.kind not in "iufb":
        return []
    number = len(np.unique(array))
    if task in COLUMNS:
        return [f"{name}: {COLUMNS[task].note(array)}"]
    if array.dtype.kind == "f" and not is_one_hot(array.reshape(len(array), -1)):
        return [f"{name}: whole numbers as floats, {number} different ones, are read as classes; to estimate them, `task='regression'`"]
    if array.dtype.kind == "i" and number > 2 and array.min() == -1 and array.max() > 0:
        return [f"{name}: -1 is read as a separate class; leave those pictures out if it means that they have no label"]
    return []


def plain(array: np.ndarray) -> np.ndarray:
    """Targets without their wrapping: bytes as text, and Python objects of one kind as an array of it; others as they are.

    Raises:
        DataError: bytes that are no UTF-8.
    """
    if array.dtype.kind == "O" and array.size:
        items = list(array.flat)
        for kinds in ((bytes,), (str,), (bool, np.bool_), (int, float, np.integer, np.floating)):
            if all(isinstance(item, kinds) for item in items):
                array = np.array(items).reshape(array.shape)
                break
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"labels as bytes must be UTF-8: {error}", "Decode them: np.char.decode(y, 'latin-1').") from None


def as_it_came(array: np.ndarray, values: Any) -> np.ndarray:
    """`array`, which NumPy made of `values`; a list of texts and something else, of which it makes texts, as a list of objects."""
    if array.dtype.kind == "U" and isinstance(values, list | tuple) and any(not isinstance(item, str | bytes) for item in values):
        return np.array(values, object)
    return array


def is_gap(item: object) -> bool:
    """Return whether an object stands for a missing value: None, NaN, or pandas' NA and NaT."""
    return item is None or (isinstance(item, float) and math.isnan(item)) or type(item).__name__ in ("NAType", "NaTType")


def as_numbers(values: Any, count: int, name: str) -> np.ndarray:
    """(n, k) float64: the targets of a regression, from (n,) or (n, k).

    Raises:
        DataError: another shape or dtype, not finite, or not one row per picture; names the field.
    """
    array = _rows(values, count, name, "numbers")
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise DataError(f"{name} must be finite numbers, but row {place} holds {array[place].tolist()}", "Leave those pictures out.")
    return array


def as_label_sets(values: Any, count: int, name: str) -> np.ndarray:
    """(n, k) float64 of 0 and 1: which labels each picture has.

    Raises:
        DataError: another shape, anything but 0 and 1, or not one row per picture; names the field.
    """
    array = _rows(values, count, name, "0 and 1")
    if not np.isin(array, (0, 1)).all():
        place = int(np.flatnonzero(~np.isin(array, (0, 1)).all(1))[0])
        remedy = "Give a column a label: 1 where the picture has it."
        raise DataError(f"{name} must be 0 or 1 for each label, but row {place} holds {array[place].tolist()}", remedy)
    return array


def target_spec(task: Task, labels: np.ndarray, effect: str | None = None) -> TargetSpec | None:
    """The meaning of the outputs that learn the training targets `labels` (N, k), or pictures of which `effect` made the inputs.

    None for classes. A number that is the same for all pictures has deviation 1.
    """
    if task == "restore":
        return TargetSpec(task=task, effect=effect)
    return COLUMNS[task].spec(labels) if task in COLUMNS else None


def standardized(labels: np.ndarray, spec: TargetSpec | None) -> np.ndarray:
    """The targets as the network learns them: numbers with mean 0 and standard deviation 1 over the training set, others unchanged."""
    if spec is None or not spec.mean:
        return labels
    if labels.ndim != 2 or labels.shape[1] != len(spec.mean):
        raise UsageError(f"targets must have shape (N, {len(spec.mean)}), got {labels.shape}")
    return np.asarray((labels - np.array(spec.mean)) / np.array(spec.std))


def _rows(values: Any, count: int, name: str, wanted: str) -> np.ndarray:
    refuse_masked(values, name)
    try:
        array = plain(np.asarray(values))
    except ValueError:
        raise DataError(f"{name} is not one array: its rows differ in length", "Give all rows the same number of columns.") from None
    if array.dtype.kind not in "iufb" or array.ndim not in (1, 2) or 0 in array.shape:
        remedy = "Give one row per picture."
        raise DataError(f"{name} must be {wanted} of shape (n,) or (n, k), got {array.dtype} {array.shape}", remedy)
    if len(array) != count:
        raise DataError(f"{name} has {len(array):,} rows for {count:,} pictures", "Give one row per picture.")
    rows: np.ndarray = array.reshape(count, -1).astype(np.float64)
    return rows


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Targets (n, k) that a task reads from arrays: one column per output.

    Attributes:
        read: The targets by the values, the number of pictures and the name of the field.
        note: The note on values that were taken for such targets, in words.
        spec: The meaning of the outputs that learn the training targets.
        column: What column k is called where nobody names it.
    """

    read: Callable[[Any, int, str], np.ndarray]
    note: Callable[[np.ndarray], str]
    spec: Callable[[np.ndarray], TargetSpec]
    column: str


def _note_on_numbers(array: np.ndarray) -> str:
    values = f"floats of {len(np.unique(array)):,} different values"
    kind = values if array.ndim == 1 or array.shape[1] == 1 else f"rows of {array.shape[1]} floats"
    return f"{kind} are read as numbers to estimate (regression); if they are classes, `task='classify'`"


def _spec_of_numbers(labels: np.ndarray) -> TargetSpec:
    std = labels.std(0)
    return TargetSpec(task="regression", mean=tuple(labels.mean(0).tolist()), std=tuple(np.where(std > 0, std, 1.0).tolist()))


COLUMNS: dict[Task, Columns] = {  # of the tasks whose targets are columns
    "regression": Columns(read=as_numbers, note=_note_on_numbers, spec=_spec_of_numbers, column="y{}"),
    "multilabel": Columns(
        read=as_label_sets,
        note=lambda _: "rows of 0 and 1 with several 1s are read as sets of labels (multilabel)",
        spec=lambda _: TargetSpec(task="multilabel"),
        column="{}",
    ),
}
