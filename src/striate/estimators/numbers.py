"""Numbers as estimators take them, beside scikit-learn's checks, and as they give them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data as validated_by_scikit_learn

from striate.core.errors import DataError, NumericError, ShapeError
from striate.core.memory import need_parameters
from striate.data.ranges import refuse_masked

BYTES_TRAINED = 4 * 4  # of a parameter: a float32, its gradient, and two numbers of Adam


def validate_data(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """As scikit-learn's function of this name, which drops a mask without a warning.

    Raises:
        DataError: X or y is a masked array, and some of its values are masked.
    """
    for name, values in zip("Xy", (X, *y), strict=False):
        refuse_masked(values, name)
    return validated_by_scikit_learn(estimator, X, *y, **options)


def real_numbers(name: str, X: Any) -> np.ndarray:
    """X as float64, of any shape.

    Raises:
        DataError: X holds text or complex numbers, rows of different lengths, or masked values.
    """
    refuse_masked(X, name)
    try:
        array = np.asarray(X)
        if array.dtype.kind == "c":
            raise DataError(f"{name} must hold real numbers, got complex ones", "Take X.real.")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} must hold numbers, in rows of one length: {error}", "Look for texts, gaps and short rows.") from None


def finite_answers(answers: np.ndarray, name: str = "X") -> np.ndarray:
    """The numbers (N, ...) that a fitted estimator computed from the rows of X.

    Raises:
        NumericError: one is NaN or Inf; names the row.
    """
    bad = np.flatnonzero(~np.isfinite(answers.reshape(len(answers), -1)).all(1))
    if len(bad):
        more = f", as for {len(bad) - 1:,} more rows" if len(bad) > 1 else ""
        message = f"{name}[{bad[0]}]: the result is NaN or Inf{more}: its numbers are too large for the fitted estimator"
        raise NumericError(message, "Check the units, and scale X like the data that was fitted.")
    return answers


def need_units(estimator: Any, parameters: int, size: int | None = None) -> None:
    """Refuse settings that ask for more `parameters` than there is memory for: `size` bytes, or what training them by Adam takes.

    Raises:
        EnvironmentFault: less is free; names the estimator.
    """
    size = BYTES_TRAINED * parameters if size is None else size
    need_parameters(parameters, size, type(estimator).__name__, "Give fewer units, or use a machine with more memory.")


def num_dense(sizes: Sequence[int]) -> int:
    """The weights and biases of dense layers between `sizes`, the number of inputs first."""
    return sum(first * second + second for first, second in pairwise(sizes))


def standardization(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column of X (N, n), also of very large and small numbers; of a constant column the deviation is 1."""
    largest = np.abs(X).max(0)
    largest[largest == 0] = 1.0
    shares = X / largest
    mean, scale = shares.mean(0), shares.std(0)
    constant = scale <= 8 * np.finfo(float).eps  # rounding of the mean is no deviation
    return mean * largest, np.where(constant, 1.0, scale * largest)


def shape_of(count: int, shape: tuple[int, int] | None) -> tuple[int, int]:
    """The height and width of `count` numbers as a picture: `shape`, else square where they are, else one row.

    Raises:
        ShapeError: they do not fill the shape.
    """
    side = math.isqrt(count)
    height, width = shape or ((side, side) if side**2 == count else (1, count))
    if height * width != count:
        raise ShapeError(f"shape must hold the {count} visibles, got {height} x {width}")
    return height, width
