"""ART1: categories of binary patterns that grow as they are needed.

Source: Carpenter and Grossberg, 1987, "A massively parallel architecture for a self-organizing neural pattern recognition machine",
with fast learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import DataError, UsageError
from striate.core.settings import check_counts, check_numbers
from striate.estimators.numbers import validate_data
from striate.estimators.persistence import Saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def resonating(choices: np.ndarray, common: np.ndarray, size: float, vigilance: float) -> int:
    """The category of the highest choice whose match, common / size, meets the vigilance; the first of several; -1 if none does.

    This is where the search by resets ends, without the search.
    """
    enough = (vigilance - 1e-12) * size  # a sum of shares may miss its value by a rounding
    if len(choices) and common[first := int(choices.argmax())] >= enough:
        return first
    met = np.flatnonzero(common >= enough)
    return int(met[choices[met].argmax()]) if len(met) else -1


@dataclass(kw_only=True, eq=False, repr=False)
class ART1(Saved, ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Adaptive resonance on patterns of 0 and 1.

        choice_j = L |I and w_j| / (L - 1 + |w_j|)         match_j = |I and w_j| / |I| >= vigilance         w_J = I and w_J

    Of the categories that meet the vigilance, the one of the highest choice learns; where none does, a new one begins as I. A pattern
    without any 1 has no match with another: it is a category of its own.

    Args:
        vigilance: From 0 (few, broad categories) to 1 (only equal patterns).
        choice: L, above 1.
        max_iter: Presentations of all patterns at most; they end when no template changed.
        binarize: Values above it count as 1, all others as 0; None refuses what is neither 0 nor 1.

    Attributes:
        templates_: (categories, n) bool.
        labels_: The category of each pattern, as of the last presentation.
        n_iter_: Presentations.

    Example:
        >>> ART1(vigilance=0.9).fit_predict([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0]]).tolist()
        [0, 1, 0]
    """

    vigilance: float = 0.7
    choice: float = 2.0
    max_iter: int = 1
    binarize: float | None = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the patterns X (N, n) in their order.

        Raises:
            DataError: X holds other numbers than 0 and 1, and `binarize` is None.
            UsageError: a setting is out of its range.
        """
        check_counts(max_iter=self.max_iter)
        self._patterns(X, reset=True)  # what is refused leaves the templates as they were
        self.__dict__.pop("templates_", None)
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            self.n_iter_ += 1
            before = self.templates_.copy() if self.n_iter_ > 1 else None
            self.partial_fit(X)
            if before is not None and np.array_equal(before, self.templates_):
                break
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn more patterns, each once."""
        check_numbers(vigilance=self.vigilance, choice=self.choice)
        if not 0 <= self.vigilance <= 1:
            raise UsageError(f"vigilance must be from 0 to 1, got {self.vigilance}")
        if self.choice <= 1:
            raise UsageError(f"choice must be above 1, got {self.choice}")
        first = not hasattr(self, "templates_")
        patterns = self._patterns(X, reset=first)
        templates = np.zeros((0, patterns.shape[1]), bool) if first else self.templates_
        labels = []
        for pattern in patterns:
            winner = self._winner(pattern, templates)
            if winner < 0:
                winner = len(templates)
                templates = np.vstack([templates, pattern])
            else:
                templates[winner] &= pattern
            labels.append(winner)
        self.templates_: np.ndarray = templates
        self.labels_ = np.array(labels)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The category that each pattern would join; -1 if it would begin a new one."""
        check_is_fitted(self)
        return np.array([self._winner(pattern, self.templates_) for pattern in self._patterns(X, reset=False)])

    def plot(self, X: Any) -> Figure:
        """The template of each category, and how many patterns of X (N, n) join it; a matplotlib figure.

        Raises:
            NotFittedError: nothing was fitted yet.
        """
        from striate.drawing.classical import categories_figure

        joined = self.predict(X)
        sizes = np.bincount(joined[joined >= 0], minlength=len(self.templates_))
        title = f"ART1, vigilance {self.vigilance:g}: {len(self.templates_)} categories"
        return categories_figure(self.templates_.astype(float), sizes, title, "template: black is on")

    def _winner(self, pattern: np.ndarray, templates: np.ndarray) -> int:
        if not pattern.any():
            empty = np.flatnonzero(~templates.any(1))
            return int(empty[0]) if len(empty) else -1
        common = (templates & pattern).sum(1)
        choices = self.choice * common / (self.choice - 1 + templates.sum(1))
        return resonating(choices, common, float(pattern.sum()), self.vigilance)

    def _patterns(self, X: Any, *, reset: bool) -> np.ndarray:
        X = validate_data(self, X, reset=reset)
        if self.binarize is not None:
            check_numbers(binarize=self.binarize)
            X = self.binarize < X
        elif not np.isin(X, (0, 1)).all():
            message = f"X must hold 0 and 1 only, got {X[~np.isin(X, (0, 1))][0]}"
            raise DataError(message, "Make it binary first: X > threshold, or binarize=threshold.")
        patterns: np.ndarray = X.astype(bool)
        return patterns
