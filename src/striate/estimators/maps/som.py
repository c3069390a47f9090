"""Kohonen's self-organizing map.

Source: Kohonen, 1982, "Self-organized formation of topologically correct feature maps"; the batch form from Kohonen, 1993.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import pairwise_distances
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UsageError
from striate.core.settings import check_counts, check_numbers, check_word
from striate.estimators.numbers import finite_answers, need_units, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCK = 1024  # samples whose winners are found at once


@dataclass(eq=False, repr=False)
class SelfOrganizingMap(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """A grid of units that spreads over the data so that neighbours on the grid are neighbours in the data.

        c = argmin_i |x - w_i|         h_i = exp(-|r_c - r_i|^2 / (2 sigma^2))
        online:  w_i += rate h_i (x - w_i)                 batch:  w_i = sum_x h_i(x) x / sum_x h_i(x)

    sigma goes geometrically from `sigma` to `sigma_end`; the rate falls linearly to 0.

    Args:
        rows: Of the grid.
        columns: Of the grid.
        grid: "rectangular" or "hexagonal" (odd rows half a unit to the right).
        update: "batch", by far the faster one, or "online".
        max_iter: Epochs; 0 leaves the first weights as they are.
        sigma: First reach of the neighbourhood, in units of the grid; None for half the longer side.
        sigma_end: Last reach.
        learning_rate: First rate, online.
        init: "random" (numbers with the data's mean and deviation) or "samples".
        random_state: Seed of the first weights and of the orders.

    Attributes:
        weights_: (rows, columns, n).
        labels_: The winner of each sample, as row * columns + column.
        positions_: (rows * columns, 2) of the units on the plane, x and y.
        n_iter_: Epochs.

    Example:
        >>> som = SelfOrganizingMap(rows=1, columns=8, random_state=0).fit(np.linspace(0, 1, 100)[:, None])
        >>> steps = np.diff(som.weights_.ravel())
        >>> bool((steps > 0).all() or (steps < 0).all())
        True
    """

    rows: int = 8
    columns: int = 8
    _: KW_ONLY
    grid: str = "rectangular"
    update: str = "batch"
    max_iter: int = 30
    sigma: float | None = None
    sigma_end: float = 0.6
    learning_rate: float = 0.5
    init: str = "random"
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Spread over X (N, n).

        Raises:
            UsageError: a setting is out of its range.
        """
        X = validate_data(self, X, dtype=np.float64)
        generator = random_state_of(self.random_state)
        self._start(X, generator)
        first = self.sigma or max(max(self.rows, self.columns) / 2, self.sigma_end)
        for epoch in range(self.max_iter):
            share = epoch / max(1, self.max_iter - 1)
            sigma = first * (self.sigma_end / first) ** share
            if self.update == "batch":
                self._batch_epoch(X, sigma)
            else:
                rates = self.learning_rate * (1 - (epoch + np.arange(len(X)) / len(X)) / self.max_iter)
                self._online_epoch(X[generator.permutation(len(X))], rates, sigma)
        self.n_iter_ = self.max_iter
        self.labels_ = self._winners(X)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One online epoch over X in its order, at `learning_rate` and `sigma_end`."""
        first = not hasattr(self, "weights_")
        X = validate_data(self, X, dtype=np.float64, reset=first)
        if first:
            self._start(X, random_state_of(self.random_state))
            self.n_iter_ = 0
        self._online_epoch(X, np.full(len(X), self.learning_rate), self.sigma_end)
        self.n_iter_ += 1
        self.labels_ = self._winners(X)
        return self

    def _start(self, X: np.ndarray, generator: np.random.RandomState) -> None:
        check_counts(rows=self.rows, columns=self.columns)
        check_counts(least=0, max_iter=self.max_iter)
        sigmas = {"sigma_end": self.sigma_end} if self.sigma is None else {"sigma": self.sigma, "sigma_end": self.sigma_end}
        check_numbers(learning_rate=self.learning_rate, **sigmas)
        if not 0 < self.learning_rate <= 1:
            raise UsageError(f"learning_rate must be above 0 and at most 1, got {self.learning_rate}")
        check_word(grid=self.grid, known=("rectangular", "hexagonal"))
        check_word(update=self.update, known=("batch", "online"))
        check_word(init=self.init, known=("random", "samples"))
        if self.sigma_end <= 0 or (self.sigma is not None and self.sigma <= 0):
            raise UsageError(f"sigma and sigma_end must be positive, got {self.sigma} and {self.sigma_end}")
        units = self.rows * self.columns
        need_units(self, units * X.shape[1], 8 * units * (3 * units + 2 * X.shape[1]))  # the distances between units, too
        row, column = np.divmod(np.arange(units), self.columns)
        hexagonal = self.grid == "hexagonal"
        self.positions_ = np.column_stack([column + 0.5 * (row % 2) * hexagonal, row * (np.sqrt(0.75) if hexagonal else 1.0)])
        self._near = pairwise_distances(self.positions_, metric="sqeuclidean")  # (units, units)
        if self.init == "samples":
            weights = X[generator.choice(len(X), units, replace=len(X) < units)]
        else:
            weights = X.mean(0) + X.std(0) * generator.normal(size=(units, X.shape[1]))
        self.weights_ = weights.reshape(self.rows, self.columns, X.shape[1])

    @property
    def _units(self) -> np.ndarray:
        """The weights as (units, n), a view."""
        return self.weights_.reshape(-1, self.weights_.shape[2])

    def _winners(self, X: np.ndarray) -> np.ndarray:
        """The nearest unit of each row (N,): |x|^2 is the same for all units, and left out."""
        units = self._units
        half = (units**2).sum(1) / 2
        winners, scores = np.empty(len(X), np.intp), np.empty((min(BLOCK, len(X)), len(units)))
        for start in range(0, len(X), BLOCK):
            rows = X[start : start + BLOCK]
            nearness = np.matmul(rows, units.T, out=scores[: len(rows)])  # (rows, units), in memory that is used again
            nearness -= half
            winners[start : start + BLOCK] = nearness.argmax(1)
        return winners

    def _batch_epoch(self, X: np.ndarray, sigma: float) -> None:
        winners, count = self._winners(X), len(self._units)
        members = csr_array((np.ones(len(X)), winners, np.arange(len(X) + 1)), shape=(len(X), count))
        reach = np.exp(-self._near / (2 * sigma**2))  # (units, units)
        mass = reach @ np.bincount(winners, minlength=count)
        sums = reach @ (members.T @ X)
        reached = mass > 1e-12  # a unit that nothing reaches stays
        self._units[reached] = sums[reached] / mass[reached, None]

    def _online_epoch(self, X: np.ndarray, rates: np.ndarray, sigma: float) -> None:
        reach, units = np.exp(-self._near / (2 * sigma**2)), self._units
        for row, rate in zip(X, rates, strict=True):
            away = row - units
            winner = np.einsum("un,un->u", away, away).argmin()
            units += (rate * reach[winner])[:, None] * away

    def predict(self, X: Any) -> np.ndarray:
        """The winner of each row, as row * columns + column."""
        return self._winners(self._checked(X))

    def transform(self, X: Any) -> np.ndarray:
        """The distance to every unit (N, rows * columns)."""
        distances: np.ndarray = pairwise_distances(self._checked(X), self._units)
        return distances

    def quantization_error(self, X: Any) -> float:
        """The mean distance of a row to its winner."""
        return float(self.transform(X).min(1).mean())

    def topographic_error(self, X: Any) -> float:
        """The share of rows whose two nearest units are not neighbours on the grid (diagonal ones count as neighbours)."""
        two = np.argsort(self.transform(X), axis=1)[:, :2]
        limit = 1.0 if self.grid == "hexagonal" else 2.0
        return float((self._near[two[:, 0], two[:, 1]] > limit + 1e-9).mean()) if self._near.size > 1 else 0.0

    def u_matrix(self) -> np.ndarray:
        """The mean distance of each unit's weights to those of its neighbours on the grid: (rows, columns)."""
        check_is_fitted(self)
        neighbours = (self._near > 0) & (self._near <= (1.0 if self.grid == "hexagonal" else 2.0) + 1e-9)
        distances = pairwise_distances(self._units) * neighbours
        means: np.ndarray = (distances.sum(1) / np.maximum(neighbours.sum(1), 1)).reshape(self.rows, self.columns)
        return means

    def component_planes(self) -> np.ndarray:
        """One map for each feature: (n, rows, columns)."""
        check_is_fitted(self)
        return np.moveaxis(self.weights_, 2, 0)

    def plot(self, X: Any, y: Any = None) -> Figure:
        """The samples X (N, n) that each unit wins, their majority label where y (N,) is given, and the U-matrix; a matplotlib figure.

        Raises:
            NotFittedError: nothing was fitted yet.
            UsageError: y does not fit X.
        """
        from striate.drawing.classical import labels_for, map_figure

        winners, units = self.predict(X), len(self._units)
        labels, names = labels_for(winners, y), None
        if labels is not None:
            kinds, places = np.unique(labels, return_inverse=True)
            counts = np.zeros((units, len(kinds)))
            np.add.at(counts, (winners, places), 1)
            names = np.where(counts.any(1), kinds.astype(str)[counts.argmax(1)], "")
        hits = np.bincount(winners, minlength=units)
        return map_figure(self.positions_, hits, names, self.u_matrix().ravel(), self.grid == "hexagonal")

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        checked: np.ndarray = validate_data(self, X, dtype=np.float64, reset=False)
        finite_answers(np.square(checked).sum(1))  # of a distance that is infinite to all units, the first would win
        return checked

    @property
    def _n_features_out(self) -> int:
        return len(self._units)
