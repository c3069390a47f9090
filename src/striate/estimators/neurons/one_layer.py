"""Regressions as networks of one layer: linear, logistic and softmax, trained to the minimum of their convex losses.

Sources: Legendre, 1805 (least squares); Cox, 1958 (logistic regression); Bridle, 1990 (softmax).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from striate.core.errors import UsageError
from striate.core.settings import check_counts, check_numbers, check_word
from striate.estimators.labels import classes_of
from striate.estimators.neurons.regions import Regions
from striate.estimators.numbers import finite_answers, validate_data
from striate.estimators.persistence import Saved


@dataclass(kw_only=True, eq=False, repr=False)
class LinearRegression(Saved, MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A linear layer of least squares.

        min over W, b of  mean |W x + b - y|^2          (a weighted mean where samples have weights)

    Args:
        solver: "closed" (the normal equations, by orthogonal factors) or "descent" (gradient descent on decorrelated inputs).
        max_iter: Steps of the descent at most.
        tol: The descent ends when no weight of a decorrelated input changes by more, relative to the largest.

    Attributes:
        coef_: (n,) or (k, n).
        intercept_: A number or (k,).
        n_iter_: Steps; 1 in closed form.

    Example:
        >>> reg = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> reg.coef_.round(6).tolist(), round(float(reg.intercept_), 6)
        ([2.0], 1.0)
    """

    solver: str = "closed"
    max_iter: int = 1000
    tol: float = 1e-12

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn numbers y (N,) or (N, k) of X (N, n); a sample of weight 2 counts as two, one of weight 0 not at all.

        Raises:
            UsageError: an unknown solver.
        """
        check_word(solver=self.solver, known=("closed", "descent"))
        check_counts(max_iter=self.max_iter)
        check_numbers(tol=self.tol)
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = np.asarray(y, float)
        shares, _ = shares_of(sample_weight, X)
        mean, middle = shares @ X, shares @ y
        roots = np.sqrt(shares)
        wanted = (roots * (y - middle).T).T
        left, values, right = np.linalg.svd(roots[:, None] * (X - mean), full_matrices=False)
        kept = values > values.max(initial=0) * max(X.shape) * np.finfo(float).eps
        left, values, right = left[:, kept], values[kept], right[kept]
        if self.solver == "closed":
            weights, self.n_iter_ = left.T @ wanted, 1
        else:
            weights = self._descended(left, wanted)
        self.coef_ = (right.T @ (weights.T / values).T).T
        self.intercept_ = middle - self.coef_ @ mean
        return self

    def _descended(self, inputs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Gradient descent at rate 1/2 on inputs whose columns are orthonormal: each step halves the error."""
        weights = np.zeros((inputs.shape[1], *wanted.shape[1:]))
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            change = inputs.T @ (wanted - inputs @ weights) / 2
            weights += change
            self.n_iter_ += 1
            if np.abs(change).max(initial=0) <= self.tol * np.abs(weights).max(initial=0):
                break
        return weights

    def predict(self, X: Any) -> np.ndarray:
        """The numbers: (N,) or (N, k)."""
        check_is_fitted(self)
        return finite_answers(validate_data(self, X, dtype=np.float64, reset=False) @ self.coef_.T + self.intercept_)


@dataclass(kw_only=True, eq=False, repr=False)
class OneLayerClassifier(Regions, Saved, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """The base of logistic and softmax regression: settings, minimisation, prediction."""

    C: float = 1.0
    max_iter: int = 1000
    tol: float = 1e-8

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn labels y (N,) of X (N, n); a sample of weight 2 counts as two, one of weight 0 not at all.

        Raises:
            UsageError: C is not positive, or y does not hold as many classes as wanted.
        """
        check_numbers(C=self.C, tol=self.tol)
        check_counts(max_iter=self.max_iter)
        if self.C <= 0:
            raise UsageError(f"C must be positive, got {self.C}")
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_ = classes_of(y)
        self._check_classes()
        targets = self._targets(y)
        shares, total = shares_of(sample_weight, X)
        mean = shares @ X
        # The descent is quicker where all weights bend the loss alike: the samples bend it by the variance over 4 and the penalty, which is
        # that of the weights of X, by 1 / (C total).
        deviation = np.sqrt(shares @ (X - mean) ** 2 + 4 / (self.C * total))
        deviation[deviation == 0] = 1
        scaled = (X - mean) / deviation
        shape = (targets.shape[1], X.shape[1] + 1)

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights = flat.reshape(shape)
            losses, delta = self._losses(scaled @ weights[:, 1:].T + weights[:, 0], targets)
            delta *= shares[:, None]
            plain = weights[:, 1:] / deviation
            gradient = np.column_stack([delta.sum(0), delta.T @ scaled + plain / deviation / (self.C * total)])
            return float(shares @ losses) + float((plain**2).sum()) / (2 * self.C * total), gradient.ravel()

        limits = {"maxiter": self.max_iter, "maxfun": 10 * self.max_iter, "maxcor": 30, "ftol": 0.0, "gtol": self.tol}
        found = minimize(loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options=limits)
        weights = found.x.reshape(shape)
        self.coef_ = weights[:, 1:] / deviation
        self.intercept_ = weights[:, 0] - self.coef_ @ mean
        self.n_iter_ = max(1, int(found.nit))
        if found.nit >= self.max_iter:
            message = f"the loss was still falling after max_iter = {self.max_iter} steps. Raise max_iter, or lower C = {self.C:g}."
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def _check_classes(self) -> None:
        """Refuse more classes than the layer can distinguish."""

    def _targets(self, y: np.ndarray) -> np.ndarray:
        """0 or 1 for each output: (N, outputs)."""
        ones: np.ndarray = (y[:, None] == self.classes_).astype(float)
        return ones

    def _losses(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each sample (N,), and its gradient by the logits (N, outputs)."""
        raise NotImplementedError

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return finite_answers(validate_data(self, X, dtype=np.float64, reset=False) @ self.coef_.T + self.intercept_)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row."""
        check_is_fitted(self)
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(1)]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (N, K)."""
        raise NotImplementedError


class LogisticRegression(OneLayerClassifier):
    """One sigmoid neuron for two classes.

        min over w, b of  sum log(1 + e^-(+-z)) + |w|^2 / (2 C),  z = w . x + b

    Args:
        C: Inverse of the penalty; infinity for none.
        max_iter: Steps (L-BFGS) at most; a ConvergenceWarning says that they did not do.
        tol: Ends where no part of the gradient of the mean loss is larger.

    Attributes:
        coef_: (1, n).
        intercept_: (1,).
        classes_: The two labels.
        n_iter_: Steps.

    Example:
        >>> LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"]).predict([[0.2], [2.8]]).tolist()
        ['no', 'yes']
    """

    def _check_classes(self) -> None:
        if len(self.classes_) > 2:
            message = f"Only binary classification is supported: y holds {len(self.classes_)} classes"
            raise UsageError(message, "Use SoftmaxRegression for more than two classes.")

    def _targets(self, y: np.ndarray) -> np.ndarray:
        return super()._targets(y)[:, 1:]

    def _losses(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (np.logaddexp(0, logits) - targets * logits)[:, 0], expit(logits) - targets

    def decision_function(self, X: Any) -> np.ndarray:
        """z (N,)."""
        return self._logits(X)[:, 0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each of the two classes (N, 2)."""
        logits = self._logits(X)
        return np.hstack([expit(-logits), expit(logits)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class SoftmaxRegression(OneLayerClassifier):
    """A linear layer with a softmax: one output for each class, also of two.

        min over W, b of  sum -log softmax(W x + b)[y] + |W|^2 / (2 C)

    Args: those of `LogisticRegression`.

    Attributes:
        coef_: (K, n).
        intercept_: (K,).
        classes_: The labels.
        n_iter_: Steps.

    Example:
        >>> SoftmaxRegression().fit([[0.0], [1.0], [2.0]], ["a", "b", "c"]).predict([[-1.0], [3.0]]).tolist()
        ['a', 'c']
    """

    def _losses(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        losses: np.ndarray = logsumexp(logits, axis=1) - (targets * logits).sum(1)
        return losses, softmax(logits, axis=1) - targets

    def decision_function(self, X: Any) -> np.ndarray:
        """The logits (N, K); for two classes their difference (N,)."""
        logits = self._logits(X)
        difference: np.ndarray = logits[:, 1] - logits[:, 0]
        return difference if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (N, K)."""
        shares: np.ndarray = softmax(self._logits(X), axis=1)
        return shares


def shares_of(sample_weight: Any, X: np.ndarray) -> tuple[np.ndarray, float]:
    """The share of each sample of X in a mean (N,), and the sum of the weights, that of 1 each where none are given.

    Raises:
        ValueError: scikit-learn's words on weights that do not fit, are negative or all 0.
    """
    weights: np.ndarray = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    total = float(weights.sum())
    return weights / total, total
