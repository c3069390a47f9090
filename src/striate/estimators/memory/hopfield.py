"""The Hopfield network of 1982, and its modern form of 2020.

Sources: Hopfield, 1982, "Neural networks and physical systems with emergent collective computational abilities"; Amit, Gutfreund and
Sompolinsky, 1985, for the capacity of 0.138 patterns a unit; Ramsauer et al., 2020, arXiv:2008.02217, equation 3, for the modern form.
Departs from the source: states are -1 and 1, and a unit without input keeps its state.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import DataError, ShapeError, UsageError
from striate.core.settings import check_counts, check_numbers, check_word
from striate.estimators.numbers import finite_answers, need_units, real_numbers, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPACITY = 0.138  # random patterns a unit; above, recall breaks down
EXACT = 2**24  # below, every whole number is a float32
BLOCK, WINDOW = 256, 128  # states, and units of each, that are seen to at once


class Hopfield(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A symmetric network whose stable states are memories.

        W = (1/N) sum_p xi_p xi_p^T, diagonal 0         s_i = sign(sum_j w_ij s_j)         E = -s^T W s / 2

    Unit by unit, the energy never rises, and recall ends in a stable state. All units at once, it ends in one or in a cycle of two.

    Args:
        update: "asynchronous" (in a random order) or "synchronous".
        max_iter: Sweeps at most.
        random_state: Seed of the orders.

    Attributes:
        weights_: W (N, N).
        patterns_: The stored patterns, as -1 and 1.
        n_patterns_: Patterns stored.
        zeros_and_ones_: Whether the first patterns were of 0 and 1.
        n_iter_: Sweeps of the last recall.

    Example:
        >>> Hopfield().fit([[1, 1, 1, -1, -1, -1, 1, -1]]).predict([[1, 1, -1, -1, -1, -1, 1, -1]]).tolist()
        [[1, 1, 1, -1, -1, -1, 1, -1]]
    """

    n_patterns_: int
    n_features_in_: int
    patterns_: np.ndarray
    sums_: np.ndarray

    def __init__(self, *, update: str = "asynchronous", max_iter: int = 100, random_state: Any = None) -> None:
        self.update = update
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Store the patterns X (P, N) of -1 and 1, or of 0 and 1.

        Raises:
            DataError: X holds other numbers.
            UsageError: a setting is out of its range.
        """
        for name in ("sums_", "weights_"):
            self.__dict__.pop(name, None)
        return self.partial_fit(X)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Store further patterns."""
        check_word(update=self.update, known=("asynchronous", "synchronous"))
        check_counts(max_iter=self.max_iter)
        first = not hasattr(self, "sums_")
        patterns = signs("X", X, None if first else self.n_features_in_)
        self.n_patterns_ = len(patterns) + (0 if first else self.n_patterns_)
        self.n_features_in_ = patterns.shape[1]
        if first:
            self.zeros_and_ones_ = bool((np.asarray(X) == 0).any())
        # Whole numbers, and no field above the number of units times that of patterns: in a type that holds them, recall is exact.
        need_units(self, self.n_features_in_**2, (8 + 8 + 8) * self.n_features_in_**2)
        exact = np.float32 if self.n_patterns_ * self.n_features_in_ < EXACT else np.float64
        patterns = patterns.astype(exact)
        self.patterns_ = patterns if first else np.vstack([self.patterns_.astype(exact), patterns])
        self.sums_ = patterns.T @ patterns + (0 if first else self.sums_.astype(exact))
        np.fill_diagonal(self.sums_, 0)
        self.weights_ = self.sums_.astype(np.float64) / self.n_features_in_
        if self.n_patterns_ > max(1, CAPACITY * self.n_features_in_):
            message = (
                f"{self.n_patterns_} patterns are more than {self.n_features_in_} units can store: at most {CAPACITY:.3f} per unit, "
                f"which is {int(CAPACITY * self.n_features_in_)}. Recall will fail."
            )
            warnings.warn(message, UserWarning, stacklevel=2)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The recalled pattern for each probe of X (P, N), in its own values (-1 and 1, or 0 and 1): int64 (P, N).

        Where all that X holds is 1, in the values of the patterns.
        """
        check_is_fitted(self)
        states = signs("X", X, self.n_features_in_).astype(self.sums_.dtype)
        generator = random_state_of(self.random_state)
        fields = self._fields(states)
        self.n_iter_ = 0
        moving = np.arange(len(states))
        while len(moving) and self.n_iter_ < self.max_iter:
            if self.update == "synchronous":
                following = settled(fields, states[moving])
                moved = (following != states[moving]).any(1)
                states[moving] = following
                fields = self._fields(following[moved])
            else:
                order = generator.permutation(self.n_features_in_)
                moved = np.concatenate([self._sweep(states, fields, rows, order) for rows in blocks(moving)])
            moving = moving[moved]
            self.n_iter_ += 1
        least = np.min(X)
        zeros = least == 0 or (least > 0 and self.zeros_and_ones_)
        return (states > 0).astype(np.int64) if zeros else states.astype(np.int64)

    def step(self, states: Any) -> np.ndarray:
        """All units at once, from `states` (P, N): -1.0 and 1.0 (P, N)."""
        check_is_fitted(self)
        before = signs("states", states, self.n_features_in_)
        return settled(self._fields(before.astype(self.sums_.dtype)), before)

    def _fields(self, states: np.ndarray) -> np.ndarray:
        """sum_j w_ij s_j, times N: (P, N). By way of the overlaps with few patterns, less work than by way of all pairs of units."""
        fields: np.ndarray
        if 2 * self.n_patterns_ < self.n_features_in_ and hasattr(self, "patterns_"):  # a network whose weights were damaged has none
            fields = states @ self.patterns_.T @ self.patterns_
            fields -= self.n_patterns_ * states
        else:
            fields = states @ self.sums_
        return fields

    def _sweep(self, states: np.ndarray, fields: np.ndarray, rows: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Each unit once, in place, of the states and their fields in these rows; whether one changed: bool (rows,).

        The fields of a few units follow each turn at once, those of all others when these units have had theirs.
        """
        moved = np.zeros(len(rows), bool)
        for start in range(0, len(order), WINDOW):
            units = order[start : start + WINDOW]
            weights = self.sums_[units]  # (units, N)
            here = np.ix_(rows, units)
            before = states[here]
            changes = turned(before, fields[here], weights[:, units]) - before
            changed = changes.any(1)
            if changed.any():
                states[here] += changes
                fields[rows[changed]] += changes[changed] @ weights
                moved |= changed
        return moved

    def plot(self, X: Any) -> Figure:
        """The energy of the first probes of X (P, N), at most 8, while they are recalled unit by unit; a matplotlib figure.

        Raises:
            NotFittedError: nothing was fitted yet.
        """
        from striate.drawing.classical import MOST_STATES, energies_figure

        check_is_fitted(self)
        probes = signs("X", X, self.n_features_in_)[:MOST_STATES]
        courses = [self._course(probe, random_state_of(self.random_state)) for probe in probes]
        names = [f"probe {k}" for k in range(len(courses))]
        title = f"Recall from {self.n_patterns_} stored pattern{'s' if self.n_patterns_ != 1 else ''}"
        return energies_figure(courses, names, title)

    def _course(self, probe: np.ndarray, generator: np.random.RandomState) -> list[float]:
        """The energy of a probe (N,), and after the update of each unit in turn, until a sweep changes none."""
        state, weights = probe.astype(float), self.weights_
        energies = [float(self.energy(probe[None])[0])]
        for _ in range(self.max_iter):
            before = state.copy()
            for unit in generator.permutation(len(state)):
                field = float(weights[unit] @ state)
                new = np.sign(field) or state[unit]
                energies.append(energies[-1] - (new - state[unit]) * field)
                state[unit] = new
            if np.array_equal(state, before):
                break
        return energies

    def energy(self, X: Any) -> np.ndarray:
        """E of each state of X (P, N): float64 (P,)."""
        check_is_fitted(self)
        states = signs("X", X, self.n_features_in_)
        energies: np.ndarray = -np.einsum("pi,pi->p", states @ self.weights_, states) / 2
        return energies


@dataclass(kw_only=True, eq=False, repr=False)
class ModernHopfield(Saved, BaseEstimator):  # type: ignore[misc]  # as above
    """A memory of real-valued patterns that is read by attention.

        state = softmax(beta state X^T) X

    Args:
        beta: Sharpness: high recalls single patterns, low averages them.
        max_iter: Steps; one is usually enough.

    Attributes:
        patterns_: X (P, N).

    Example:
        >>> ModernHopfield(beta=8.0).fit([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]]).predict([[0.7, -0.9, 0.8]]).round(2).tolist()
        [[1.0, -1.0, 1.0]]
    """

    beta: float = 1.0
    max_iter: int = 1

    def fit(self, X: Any, y: Any = None) -> Self:
        """Store the patterns X (P, N).

        Raises:
            UsageError: a setting is out of its range.
        """
        check_numbers(beta=self.beta)
        check_counts(max_iter=self.max_iter)
        if self.beta <= 0:
            raise UsageError(f"beta must be positive, got {self.beta}")
        self.patterns_ = validate_data(self, X, dtype=np.float64, copy=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The recalled pattern for each probe of X (P, N): float64 (P, N)."""
        check_is_fitted(self)
        states: np.ndarray = validate_data(self, X, dtype=np.float64, reset=False)
        for _ in range(self.max_iter):
            states = finite_answers(softmax(self.beta * states @ self.patterns_.T, axis=1) @ self.patterns_)
        return states


def settled(fields: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The signs of the fields (P, N); a unit without field keeps its state."""
    return np.where(fields == 0, states, np.sign(fields))


def turned(states: np.ndarray, fields: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The states (P, n) after each of their n units had its turn, from the first to the last.

    Between two changes no field changes: so the next unit that will turn is found among all at once, and the states make their first
    change together, then their second one, and so on.
    """
    states, fields, places = states.copy(), fields.copy(), np.arange(states.shape[1])
    last = np.full((len(states), 1), -1)  # the unit that changed last
    while True:
        waiting = (fields * states < 0) & (places > last)
        units = waiting.argmax(1)
        rows = np.flatnonzero(waiting[np.arange(len(states)), units])
        if not len(rows):
            return states
        units = units[rows]
        states[rows, units] *= -1
        fields[rows] += 2 * states[rows, units, None] * weights[units]
        last[rows, 0] = units


def blocks(rows: np.ndarray) -> list[np.ndarray]:
    """The rows in parts of at most BLOCK."""
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


def real(name: str, X: Any, width: int | None) -> np.ndarray:
    """X as float64 (P, N), checked."""
    array = real_numbers(name, X)
    if array.ndim != 2 or 0 in array.shape or (width is not None and array.shape[1] != width):
        raise ShapeError(f"{name} must be (patterns, {'units' if width is None else width}), got {array.shape}")
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds NaN or Inf", "Remove these rows.")
    return array


def signs(name: str, X: Any, width: int | None) -> np.ndarray:
    """X as -1.0 and 1.0 (P, N), of -1 and 1 or of 0 and 1."""
    array = real(name, X, width)
    if not (np.abs(array) == 1).all() and not np.isin(array, (0, 1)).all():
        odd = array[~np.isin(array, (-1, 0, 1))]
        came = f"{odd[0]:g}" if len(odd) else "-1, 0 and 1 together"
        raise DataError(f"{name} must hold -1 and 1 only, or 0 and 1 only, got {came}", "Make it binary first: X > threshold.")
    return np.where(array > 0, 1.0, -1.0)
