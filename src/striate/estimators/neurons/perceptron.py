"""The perceptron and its learning rule.

Source: Rosenblatt, 1958, "The perceptron"; the rule as in Mitchell, 1997, "Machine Learning", section 4.4.
Departs from the source: several classes are learned by one output each, and the largest sum answers.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UsageError
from striate.core.settings import check_counts, check_numbers, check_rate
from striate.estimators.labels import classes_of, outputs_of
from striate.estimators.neurons.regions import Regions
from striate.estimators.numbers import finite_answers, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of

BLOCK = 256  # samples whose sums are taken at once; an update ends the block, so results are those of one at a time


@dataclass(kw_only=True, eq=False, repr=False)
class Perceptron(Regions, Saved, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A layer of threshold neurons, trained sample by sample.

        o = 1 if w . x + b > 0 else 0         w += rate (t - o) x         b += rate (t - o)

    It starts from zero, or at random, and ends after the first epoch without an error. That epoch comes if a hyperplane separates the
    classes, from zero after at most (R / margin)^2 updates (Novikoff, 1962); else never, as for XOR: then `max_iter` ends it, with a
    ConvergenceWarning.

    Args:
        learning_rate: The rate; with a start at zero it scales the weights only. Integers keep the sums exact.
        max_iter: Epochs at most.
        decay: The rate of epoch e, from 1 on, is learning_rate / (1 + decay (e - 1)).
        init_range: First weights are uniform in (-init_range, init_range); at 0 they are zero.
        shuffle: Visit the samples in a new order each epoch; else in their own.
        random_state: Seed of the first weights and of the orders.

    Attributes:
        coef_: Weights (1, n) for two classes, else (K, n).
        intercept_: (1,) or (K,).
        classes_: The labels.
        n_iter_: Epochs, the one without an error included.
        n_updates_: Updates of a neuron.
        converged_: Whether an epoch had no error.
        history_: Errors of each epoch.

    Example:
        >>> gate = Perceptron().fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1])
        >>> gate.coef_.tolist(), gate.intercept_.tolist(), gate.n_updates_
        ([[2.0, 1.0]], [-2.0], 10)
    """

    learning_rate: float = 1.0
    max_iter: int = 1000
    decay: float = 0.0
    init_range: float = 0.0
    shuffle: bool = False
    random_state: Any = None

    def fit(self, X: Any, y: Any) -> Self:
        """Learn labels y (n,) of X (n, features).

        Raises:
            UsageError: a setting is out of its range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        generator = random_state_of(self.random_state)
        self._start(X, np.asarray(y), generator)
        targets = outputs_of(y, self.classes_)
        while self.n_iter_ < self.max_iter and not self.converged_:
            order = generator.permutation(len(X)) if self.shuffle else slice(None)
            self._epoch(X[order], targets[order])
        if not self.converged_:
            message = (
                f"the perceptron still made {self.history_[-1]} errors in epoch {self.n_iter_}: no hyperplane may separate the classes, "
                "as none does for XOR. Raise max_iter, or use MultilayerPerceptron."
            )
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One epoch over X, y; the first call names all `classes`, or has them all in y."""
        first = not hasattr(self, "coef_")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        if first:
            self._start(X, np.asarray(y if classes is None else classes), random_state_of(self.random_state))
        self._epoch(X, outputs_of(y, self.classes_))
        return self

    def _start(self, X: np.ndarray, y: np.ndarray, generator: np.random.RandomState) -> None:
        check_rate(self.learning_rate)
        check_counts(max_iter=self.max_iter)
        check_numbers(decay=self.decay, init_range=self.init_range)
        for name, value in {"decay": self.decay, "init_range": self.init_range}.items():
            if value < 0:
                raise UsageError(f"{name} must not be negative, got {value}")
        self.classes_ = classes_of(y)
        outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        self.coef_, self.intercept_ = np.zeros((outputs, X.shape[1])), np.zeros(outputs)
        if self.init_range:
            self.coef_ = generator.uniform(-self.init_range, self.init_range, self.coef_.shape)
            self.intercept_ = generator.uniform(-self.init_range, self.init_range, outputs)
        self.n_iter_, self.n_updates_, self.converged_ = 0, 0, False
        self.history_: list[int] = []

    def _epoch(self, X: np.ndarray, targets: np.ndarray) -> None:
        """The rule over all samples in turn: between two updates the weights stand still, so that sums are taken in blocks."""
        start, errors, size = 0, 0, BLOCK
        rate = self.learning_rate / (1 + self.decay * self.n_iter_)
        while start < len(X):
            block = X[start : start + size]
            outputs = block @ self.coef_.T + self.intercept_ > 0  # (n, outputs)
            wrong = targets[start : start + size] - outputs
            rows = np.flatnonzero(wrong.any(1))
            if len(rows):
                change = rate * wrong[rows[0]]
                self.coef_ += change[:, None] * block[rows[0]]
                self.intercept_ += change
                errors += int(np.count_nonzero(change))
                start += int(rows[0]) + 1
                size = max(4, min(BLOCK, 2 * int(rows[0]) + 2))
            else:
                start += len(block)
                size = min(BLOCK, 2 * size)
        self.n_iter_ += 1
        self.n_updates_ += errors
        self.converged_ = errors == 0
        self.history_.append(errors)

    def decision_function(self, X: Any) -> np.ndarray:
        """The weighted sums: (N,) for two classes, else (N, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        sums = finite_answers(X @ self.coef_.T + self.intercept_)
        return sums[:, 0] if len(self.classes_) == 2 else sums

    def predict(self, X: Any) -> np.ndarray:
        """The label of each row."""
        sums = self.decision_function(X)
        labels: np.ndarray = self.classes_[(sums > 0).astype(int) if sums.ndim == 1 else sums.argmax(1)]
        return labels
