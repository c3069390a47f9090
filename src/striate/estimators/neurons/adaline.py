"""Adaline: a linear neuron trained by the delta rule, with a threshold at its output.

Source: Widrow and Hoff, 1960, "Adaptive switching circuits".
Departs from the source: several classes are learned by one output each, and the largest sum answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import NumericError
from striate.core.settings import check_counts, check_numbers, check_rate, check_word
from striate.estimators.labels import classes_of, outputs_of
from striate.estimators.neurons.regions import Regions
from striate.estimators.numbers import finite_answers, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of


@dataclass(kw_only=True, eq=False, repr=False)
class Adaline(Regions, Saved, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A linear layer that follows the squared error of targets -1 and +1 down, then answers by sign.

        o = w . x + b         w += rate (t - o) x         b += rate (t - o)

    By samples this is the delta rule (LMS); by batches it is gradient descent, whose limit is the least squares solution.

    Args:
        learning_rate: The rate, stable below 2 / (1 + max |x|^2) by samples; None takes a quarter of that limit.
        rule: "sample", or "batch" for the mean over all samples; there, None takes the inverse of the largest curvature.
        max_iter: Epochs at most.
        tol: Ends when no weight changed by more in an epoch.
        random_state: Seed of the orders of the samples.

    Attributes:
        coef_: Weights (1, n) for two classes, else (K, n).
        intercept_: (1,) or (K,).
        classes_: The labels.
        n_iter_: Epochs.
        loss_curve_: Half the mean squared error before each epoch.

    Example:
        >>> Adaline().fit([[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]).predict([[0.5], [2.5]]).tolist()
        ['low', 'high']
    """

    learning_rate: float | None = None
    rule: str = "sample"
    max_iter: int = 100
    tol: float = 1e-6
    random_state: Any = None

    def fit(self, X: Any, y: Any) -> Self:
        """Learn labels y (n,) of X (n, features).

        Raises:
            UsageError: a setting is out of its range.
            NumericError: the weights left the finite numbers; the rate is too high.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        self._start(X, np.asarray(y))
        targets = self._targets(y)
        generator = random_state_of(self.random_state)
        for _ in range(self.max_iter):
            before = self.coef_.copy(), self.intercept_.copy()
            self._epoch(X, targets, generator.permutation(len(X)))
            change = max(np.abs(self.coef_ - before[0]).max(), np.abs(self.intercept_ - before[1]).max())
            if change < self.tol:
                break
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One epoch over X, y in their order; the first call names all `classes`, or has them all in y."""
        first = not hasattr(self, "coef_")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        if first:
            self._start(X, np.asarray(y if classes is None else classes))
        self._epoch(X, self._targets(y), np.arange(len(X)))
        return self

    def _start(self, X: np.ndarray, y: np.ndarray) -> None:
        if self.learning_rate is not None:
            check_rate(self.learning_rate)
        check_counts(max_iter=self.max_iter)
        check_numbers(tol=self.tol)
        check_word(rule=self.rule, known=("sample", "batch"))
        self.classes_ = classes_of(y)
        outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        self.coef_ = np.zeros((outputs, X.shape[1]))
        self.intercept_ = np.zeros(outputs)
        self.n_iter_ = 0
        self.loss_curve_: list[float] = []

    def _targets(self, y: np.ndarray) -> np.ndarray:
        """-1 or 1 for each neuron: (N, outputs)."""
        signs: np.ndarray = 2 * outputs_of(y, self.classes_) - 1
        return signs

    def _epoch(self, X: np.ndarray, targets: np.ndarray, order: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # said below
            rate = self._updated(X, targets, order)
        self.n_iter_ += 1
        if not (np.isfinite(self.coef_).all() and np.isfinite(self.intercept_).all()):
            raise NumericError(f"the weights are not finite after epoch {self.n_iter_}", f"Lower learning_rate, which is {rate:g}.")

    def _updated(self, X: np.ndarray, targets: np.ndarray, order: np.ndarray) -> float:
        """One epoch, in place; returns the rate that was used."""
        errors = targets - X @ self.coef_.T - self.intercept_  # (N, outputs)
        self.loss_curve_.append(float((errors**2).mean() / 2))
        if self.rule == "batch":
            rate = self.learning_rate or 1 / np.linalg.norm(np.column_stack([X, np.ones(len(X))]), 2) ** 2 * len(X)
            self.coef_ += rate * errors.T @ X / len(X)
            self.intercept_ += rate * errors.mean(0)
        else:
            rate = self.learning_rate or 0.5 / (1 + (X**2).sum(1).max())
            for index in order:
                change = rate * (targets[index] - self.coef_ @ X[index] - self.intercept_)
                self.coef_ += change[:, None] * X[index]
                self.intercept_ += change
        return float(rate)

    def decision_function(self, X: Any) -> np.ndarray:
        """The linear outputs: (N,) for two classes, else (N, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        sums = finite_answers(X @ self.coef_.T + self.intercept_)
        return sums[:, 0] if len(self.classes_) == 2 else sums

    def predict(self, X: Any) -> np.ndarray:
        """The label of each row."""
        sums = self.decision_function(X)
        labels: np.ndarray = self.classes_[(sums > 0).astype(int) if sums.ndim == 1 else sums.argmax(1)]
        return labels
