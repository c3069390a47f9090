"""Files of samples that are no pictures, without labels, for a trained model to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from striate.core.errors import DataError
from striate.core.images import InputSpec, SignalSpec
from striate.core.places import no_such_file
from striate.data.archives import DAMAGE, npz_arrays
from striate.data.arrays import KEYS, as_samples
from striate.data.kinds import OF_TABLES
from striate.data.signals import rows_of
from striate.data.tables import read_table

ARRAYS = ("x", "X", *(x for x, _ in reversed(KEYS.values())))  # keys of an .npz file, the first of which is taken


def read_samples(path: Path, spec: InputSpec) -> tuple[list[str], np.ndarray]:
    """The names FILE:LINE or FILE:INDEX and the samples (n, ..., C) of a `.csv`, `.npy` or `.npz` file, as `spec` has them.

    Of a `.csv` file the columns that the model was trained on are read, in whatever order, and others are not; of an `.npz` file x or
    X, or else x_test, x_val or x_train, or its only array.

    Raises:
        DataError: no such file, not such a file, of other samples, or without a column; names it.
    """
    if not path.is_file():
        raise no_such_file(path)
    suffix = path.suffix.lower()
    if suffix in OF_TABLES:
        table = read_table(path)
        columns = (spec.columns if isinstance(spec, SignalSpec) else ()) or table.names
        return [f"{path}:{line}" for line in table.lines], _checked(table.numbers(columns), spec, path)
    if suffix not in (".npy", ".npz"):
        raise DataError(f"{path}: the model takes {spec.kind}, from a table (.csv), .npy or .npz file", "Give such a file.")
    samples = _checked(_array(path) if suffix == ".npy" else _one_of(path), spec, path)
    return [f"{path}:{index}" for index in range(len(samples))], samples


def _checked(array: np.ndarray, spec: InputSpec, path: Path) -> np.ndarray:
    try:
        return rows_of(as_samples(array, "its array", spec.kind), spec)
    except DataError as error:
        raise DataError(f"{path}: {error.message}", error.remedy) from None


def _array(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except DAMAGE as error:
        raise DataError(f"{path}: cannot be read as .npy: {error}", "Save the array again, with numpy.save.") from None
    return array


def _one_of(path: Path) -> np.ndarray:
    content = npz_arrays(path)
    found = next((content[key] for key in ARRAYS if key in content), None)
    if found is None and len(content) == 1:
        (found,) = content.values()
    if found is None:
        raise DataError(f"{path}: has no array {', '.join(ARRAYS)}; it holds {', '.join(content) or 'nothing'}", "Save it as x.")
    return found
