"""Sequences of unequal length: read from user input, padded for a network, and generated for the memory experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from striate.core.errors import DataError, ShapeError, UsageError
from striate.estimators.randomness import random_state_of

LARGEST = float(np.finfo(np.float32).max)


class Padded(NamedTuple):
    """Sequences side by side, filled up with zeros at their ends."""

    values: np.ndarray  # (N, T, F) float32
    lengths: np.ndarray  # (N,) int64, from 1 to T


def is_table(X: Any) -> bool:
    """Return whether X is two-dimensional: N sequences of one number per step, all of one length, as scikit-learn has its samples."""
    if hasattr(X, "shape"):
        return len(X.shape) < 3
    if not isinstance(X, Sequence) or isinstance(X, str) or len(X) == 0:
        return True  # for scikit-learn to refuse
    try:
        return len({np.shape(row) for row in X}) == 1 and np.ndim(X[0]) < 2 and np.size(X[0]) > 0
    except ValueError:  # a row is ragged
        return False


def as_sequences(X: Any, num_features: int | None = None) -> Padded:
    """The sequences of X, an array (N, T, F) or a list (an object array) of N arrays (T_i, F) or (T_i,), which is one number per step.

    Args:
        X: The sequences.
        num_features: F, where it is known; None takes that of the first.

    Raises:
        DataError: there are none, one has length 0, or a value is NaN or Inf or no number.
        ShapeError: one has another shape than the others.
    """
    if len(X) == 0:
        raise DataError("X holds no sequences", "Give at least one.")
    arrays = [_one(item, place) for place, item in enumerate(X)]
    features = arrays[0].shape[1] if num_features is None else num_features
    for place, array in enumerate(arrays):
        if array.shape[1] != features:
            raise ShapeError(f"X: sequence {place} has {array.shape[1]} features per step, expected {features}")
    lengths = np.array([len(array) for array in arrays])
    values = np.zeros((len(arrays), lengths.max(), features), np.float32)
    for row, array in zip(values, arrays, strict=True):
        row[: len(array)] = array
    return Padded(values, lengths)


def _one(item: Any, place: int) -> np.ndarray:
    """A sequence (T, F), T and F at least 1, finite."""
    try:
        array = np.asarray(item, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"X: sequence {place} is not an array of numbers", "Give each as an array (T, F), or (T,).") from None
    if array.ndim not in (1, 2):
        raise ShapeError(f"X: sequence {place} must have shape (T, F) or (T,), got {array.shape}")
    if array.size == 0:
        raise DataError(f"X: sequence {place} has length 0: its shape is {array.shape}", "Leave it out; each needs at least one step.")
    if not np.isfinite(array).all():
        raise DataError(f"X: sequence {place} holds NaN or Inf", "Fill in what is missing, or leave the sequence out.")
    check_magnitude(array, f"X: sequence {place}")
    return array[:, None] if array.ndim == 1 else array


def check_magnitude(array: np.ndarray, what: str) -> None:
    """Refuse numbers that are infinite in the network's float32.

    Raises:
        DataError: names the largest.
    """
    largest = np.abs(array).max()
    if largest > LARGEST:
        raise DataError(f"{what} holds {largest:g}, too large for a network", "Scale the numbers to about 1.")


def adding_problem(n: int, steps: int, *, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Sequences X (n, steps, 2) of numbers in [0, 1) and marks, and the sums y (n,) of the two numbers that are marked.

    One mark is in each half. To answer the mean, 1, has a mean squared error of 1/6.

    Source: Hochreiter and Schmidhuber, 1997, "Long short-term memory", experiment 4, in the form of Le et al., 2015, arXiv:1504.00941v2.

    Raises:
        UsageError: there are fewer than 2 steps, or no sequences.
    """
    if n < 1 or steps < 2:
        raise UsageError(f"the adding problem needs sequences of at least 2 steps, got n={n} and steps={steps}")
    generator = random_state_of(random_state)
    X = np.zeros((n, steps, 2), np.float32)
    X[:, :, 0] = generator.uniform(size=(n, steps))
    rows = np.arange(n)
    for start, stop in ((0, steps // 2), (steps // 2, steps)):
        X[rows, generator.randint(start, stop, n), 1] = 1
    return X, (X[:, :, 0] * X[:, :, 1]).sum(1)


def recall_problem(n: int, lag: int, *, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Streams X (n, lag + 1, 1) of random bits, -1 or 1, and the first bit y (n,), 0 or 1, to be recalled after the last.

    Raises:
        UsageError: lag is negative, or there are no streams.
    """
    if n < 1 or lag < 0:
        raise UsageError(f"the recall problem needs streams and a lag of at least 0, got n={n} and lag={lag}")
    bits = random_state_of(random_state).randint(2, size=(n, lag + 1))
    return (2.0 * bits[:, :, None] - 1).astype(np.float32), bits[:, 0]


def temporal_xor(n: int, *, random_state: Any = None) -> np.ndarray:
    """A stream of n bits (n,) in groups of three: two at random, then their exclusive or. Only every third one can be predicted.

    Source: Elman, 1990, "Finding structure in time", section "Exclusive-OR".
    """
    bits = random_state_of(random_state).randint(2, size=(-(-n // 3), 3))
    bits[:, 2] = bits[:, 0] ^ bits[:, 1]
    stream: np.ndarray = bits.ravel()[:n]
    return stream
