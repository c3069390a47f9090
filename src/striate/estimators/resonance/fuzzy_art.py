"""Fuzzy ART: categories of real-valued patterns, as boxes that grow.

Source: Carpenter, Grossberg and Rosen, 1991, "Fuzzy ART: fast stable learning and categorization of analog patterns by an adaptive
resonance system", with complement coding.
Departs from the source: features are scaled to [0, 1] by the range of the data that is fitted first, and clipped to it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UsageError
from striate.core.settings import check_counts, check_numbers
from striate.estimators.numbers import validate_data
from striate.estimators.persistence import Saved
from striate.estimators.resonance.art1 import resonating

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FuzzySystem(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """The base of fuzzy ART and fuzzy ARTMAP: settings, coding, categories."""

    vigilance: float
    choice: float
    learning_rate: float
    max_iter: int

    def _check(self) -> None:
        check_counts(max_iter=self.max_iter)
        check_numbers(vigilance=self.vigilance, choice=self.choice, learning_rate=self.learning_rate)
        if not 0 <= self.vigilance <= 1:
            raise UsageError(f"vigilance must be from 0 to 1, got {self.vigilance}")
        if self.choice <= 0:
            raise UsageError(f"choice must be positive, got {self.choice}")
        if not 0 < self.learning_rate <= 1:
            raise UsageError(f"learning_rate must be above 0 and at most 1, got {self.learning_rate}")

    def _start(self, X: np.ndarray) -> None:
        self.data_min_, self.data_max_ = X.min(0), X.max(0)
        self.n_categories_ = 0
        self.weights_ = np.empty((0, 2 * X.shape[1]))

    def _coded(self, X: np.ndarray) -> np.ndarray:
        """Scaled to [0, 1] and complement coded: (N, 2 n)."""
        span = self.data_max_ - self.data_min_
        scaled = np.clip((X - self.data_min_) / np.where(span > 0, span, 1), 0, 1)
        coded: np.ndarray = np.hstack([scaled, 1 - scaled])
        return coded

    def plot(self, X: Any, y: Any = None) -> Figure:
        """The categories: of two features as boxes around samples X (N, 2), coloured by y where given; of more as a table of their middles.

        Raises:
            NotFittedError: nothing was fitted yet.
            UsageError: y does not fit X.
        """
        from striate.drawing.classical import boxes_figure, categories_figure, labels_for

        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        low, high = self.weights_[:, : X.shape[1]], 1 - self.weights_[:, X.shape[1] :]
        title = f"{type(self).__name__}, vigilance {self.vigilance:g}: {len(low)} categories"
        if X.shape[1] == 2:
            corners = self.data_min_ + (self.data_max_ - self.data_min_) * np.stack([low, high], axis=1)
            return boxes_figure(corners, X, labels_for(X, y), title)
        middles = (low + high) / 2
        nearest = np.abs(self._coded(X)[:, None, : X.shape[1]] - middles).sum(2).argmin(1)
        return categories_figure(
            middles, np.bincount(nearest, minlength=len(low)), title, "middle of each box: white is the least, black the most"
        )

    def _categories(self) -> Categories:
        return Categories(self.weights_, self.choice)


class Categories:
    """Weights that grow: a buffer twice as long as needed, with what the choice is divided by beside it."""

    def __init__(self, weights: np.ndarray, choice: float) -> None:
        self.count = len(weights)
        self.choice = choice
        self._buffer = np.vstack([weights, np.zeros((max(16, len(weights)), weights.shape[1]))])
        self._common = np.empty_like(self._buffer)
        self._divisors = choice + self._buffer.sum(1)

    @property
    def weights(self) -> np.ndarray:
        used: np.ndarray = self._buffer[: self.count]
        return used

    def activity(self, coded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The choices of one pattern, and what it has in common with each category: (categories,)."""
        common = np.minimum(coded, self.weights, out=self._common[: self.count])
        sums = np.einsum("kn->k", common)  # the same order in each row, as a matrix product has not: equal rows get equal sums
        return sums / self._divisors[: self.count], sums

    def add(self, coded: np.ndarray) -> int:
        """A new category that is the pattern itself; its number."""
        if self.count == len(self._buffer):
            self._buffer = np.vstack([self._buffer, np.empty_like(self._buffer)])
            self._common = np.empty_like(self._buffer)
            self._divisors = np.concatenate([self._divisors, np.empty_like(self._divisors)])
        self._buffer[self.count], self._divisors[self.count] = coded, self.choice + coded.sum()
        self.count += 1
        return self.count - 1

    def learn(self, category: int, coded: np.ndarray, rate: float) -> None:
        """Shrink the category's weights towards what it has in common with the pattern."""
        weights = self._buffer[category]
        if rate == 1:
            np.minimum(coded, weights, out=weights)
        else:
            weights += rate * (np.minimum(coded, weights) - weights)
        self._divisors[category] = self.choice + np.add.reduce(weights)


@dataclass(kw_only=True, eq=False, repr=False)
class FuzzyART(ClusterMixin, FuzzySystem):  # type: ignore[misc]  # as above
    """Adaptive resonance on numbers.

        choice_j = |I ^ w_j| / (choice + |w_j|)         match_j = |I ^ w_j| / n >= vigilance         w_J += rate (I ^ w_J - w_J)

    where ^ is the smaller of two numbers and I = (a, 1 - a). A category is a box of size at most n (1 - vigilance).

    Args:
        vigilance: From 0 (few, broad categories) to 1 (only equal patterns).
        choice: Small and positive.
        learning_rate: 1 is fast learning.
        max_iter: Presentations of all patterns at most; they end when no weight changed.

    Attributes:
        weights_: (categories, 2 n).
        n_categories_: Categories.
        labels_: The category of each pattern, as of the last presentation.
        data_min_: (n,) of the data that was fitted first.
        data_max_: (n,).
        n_iter_: Presentations.

    Example:
        >>> FuzzyART(vigilance=0.8).fit_predict([[0.0, 0.1], [1.0, 0.9], [0.1, 0.0], [0.9, 1.0]]).tolist()
        [0, 1, 0, 1]
    """

    vigilance: float = 0.5
    choice: float = 1e-3
    learning_rate: float = 1.0
    max_iter: int = 1

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the patterns X (N, n) in their order.

        Raises:
            UsageError: a setting is out of its range.
        """
        self._check()
        X = validate_data(self, X, dtype=np.float64)
        self._start(X)
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            self.n_iter_ += 1
            before = self.weights_
            self._present(X)
            if np.array_equal(before, self.weights_):
                break
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn more patterns, each once; what lies outside the range of the first ones is clipped."""
        self._check()
        first = not hasattr(self, "weights_")
        X = validate_data(self, X, dtype=np.float64, reset=first)
        if first:
            self._start(X)
        self._present(X)
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        return self

    def _present(self, X: np.ndarray) -> None:
        categories = self._categories()
        labels = np.empty(len(X), np.int64)
        for index, coded in enumerate(self._coded(X)):
            winner = resonating(*categories.activity(coded), X.shape[1], self.vigilance)
            if winner < 0:
                winner = categories.add(coded)
            else:
                categories.learn(winner, coded, self.learning_rate)
            labels[index] = winner
        self.weights_, self.n_categories_, self.labels_ = categories.weights.copy(), categories.count, labels

    def predict(self, X: Any) -> np.ndarray:
        """The category that each pattern would join; -1 if it would begin a new one."""
        check_is_fitted(self)
        X, categories = validate_data(self, X, dtype=np.float64, reset=False), self._categories()
        return np.array([resonating(*categories.activity(row), X.shape[1], self.vigilance) for row in self._coded(X)])
