"""Hebb's rule as a linear associator, and Oja's rule, which finds principal components.

Sources: Hebb, 1949, "The organization of behavior"; Oja, 1982, "A simplified neuron model as a principal component analyzer"; for
several components Sanger, 1989, "Optimal unsupervised learning in a single-layer linear feedforward neural network".
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, MultiOutputMixin, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import ShapeError, UsageError
from striate.core.settings import check_counts, check_numbers, check_rate
from striate.estimators.numbers import finite_answers, need_units, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of


class Hebb(Saved, MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A linear associator: what fires together is wired together.

        W += rate y x^T         answer = W x

    Patterns of length 1 that are orthogonal are recalled exactly; others mix.

    Args:
        learning_rate: The rate.

    Attributes:
        coef_: W, (n,) or (k, n).

    Example:
        >>> Hebb().fit([[1, 0, 0], [0, 0, 1]], [[1, -1], [-1, -1]]).predict([[0, 0, 1]]).tolist()
        [[-1.0, -1.0]]
    """

    coef_: np.ndarray

    def __init__(self, *, learning_rate: float = 1.0) -> None:
        self.learning_rate = learning_rate

    def fit(self, X: Any, y: Any) -> Self:
        """Associate each row of X (N, n) with that of y, (N,) or (N, k).

        Raises:
            UsageError: learning_rate is not positive.
        """
        if hasattr(self, "coef_"):
            del self.coef_
        return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Add further associations."""
        check_rate(self.learning_rate)
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, reset=not hasattr(self, "coef_"))
        added = self.learning_rate * np.asarray(y, float).T @ X
        if hasattr(self, "coef_") and self.coef_.shape != added.shape:
            wanted = ("N", *self.coef_.shape[:-1])
            raise ShapeError(f"y must be ({', '.join(map(str, wanted))}) as in the stored associations, got {np.shape(y)}")
        self.coef_ = getattr(self, "coef_", 0.0) + added
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The associated y of each row: (N,) or (N, k)."""
        check_is_fitted(self)
        return finite_answers(validate_data(self, X, dtype=np.float64, reset=False) @ self.coef_.T)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # an associator, no least squares
        return tags


@dataclass(eq=False, repr=False)
class Oja(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """Linear neurons whose weights turn to the principal components.

        y = W x         W += rate (y x^T - LT(y y^T) W)         (LT keeps the lower triangle; for one neuron: w += rate y (x - y w))

    Args:
        n_components: Neurons.
        learning_rate: The first rate, in units of 1 / mean |x|^2; it falls as 1 / (1 + 10 * share of epochs done).
        max_iter: Epochs.
        random_state: Seed of the first weights and of the orders.

    Attributes:
        components_: W (n_components, n).
        mean_: (n,) taken off first.
        n_iter_: Epochs.
        n_samples_seen_: Samples that `mean_` is over.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(400, 2)) * [5, 1]
        >>> bool(abs(Oja(random_state=0).fit(X).components_[0, 0]) > 0.99)
        True
    """

    n_components: int = 1
    _: KW_ONLY
    learning_rate: float = 0.05
    max_iter: int = 50
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Turn to the components of X (N, n).

        Raises:
            UsageError: a setting is out of its range.
        """
        X = validate_data(self, X, dtype=np.float64)
        generator = random_state_of(self.random_state)
        self._start(X, generator)
        for epoch in range(self.max_iter):
            self._epoch(X[generator.permutation(len(X))], 1 / (1 + 10 * epoch / self.max_iter))
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One epoch over X in its order, at the first rate, less the mean of all rows so far."""
        first = not hasattr(self, "components_")
        X = validate_data(self, X, dtype=np.float64, reset=first)
        if first:
            self._start(X, random_state_of(self.random_state))
        else:
            self.n_samples_seen_ += len(X)
            self.mean_ += (X.mean(0) - self.mean_) * len(X) / self.n_samples_seen_
        self._epoch(X, 1.0)
        return self

    def _start(self, X: np.ndarray, generator: np.random.RandomState) -> None:
        """Rows of length 1 at right angles, and the mean of X."""
        check_counts(n_components=self.n_components, max_iter=self.max_iter)
        check_numbers(learning_rate=self.learning_rate)
        if self.n_components > X.shape[1]:
            raise UsageError(f"n_components must be from 1 to {X.shape[1]}, the number of features, got {self.n_components}")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"learning_rate must be between 0 and 1, got {self.learning_rate}")
        need_units(self, self.n_components * X.shape[1], 8 * 3 * self.n_components * X.shape[1])
        self.components_ = np.linalg.qr(generator.normal(size=(X.shape[1], self.n_components)))[0].T.copy()
        self.mean_, self.n_samples_seen_, self.n_iter_ = X.mean(0), len(X), 0

    def _epoch(self, X: np.ndarray, share: float) -> None:
        """The rule over all samples in turn, at a share of the first rate."""
        centred = X - self.mean_
        lengths = (centred**2).sum(1)
        unit = self.learning_rate / max(float(lengths.mean()), np.finfo(float).tiny)
        limit = 0.5 / max(float(lengths.max()), np.finfo(float).tiny)  # above, one far sample could throw the weights out
        rate, weights = min(unit * share, limit), self.components_
        for row in centred:
            outputs = weights @ row
            weights += rate * (np.outer(outputs, row) - np.tril(np.outer(outputs, outputs)) @ weights)
        self.n_iter_ += 1

    def transform(self, X: Any) -> np.ndarray:
        """The outputs (N, n_components)."""
        check_is_fitted(self)
        return finite_answers((validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) @ self.components_.T)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)
