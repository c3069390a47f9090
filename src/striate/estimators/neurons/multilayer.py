"""The multilayer perceptron with error back-propagation as it was published.

Source: Rumelhart, Hinton and Williams, 1986, "Learning representations by back-propagating errors"; the form of one update by Han and
Kamber, "Data Mining", section 9.2, with a bias beside the weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import DataError, NumericError, ShapeError, UsageError
from striate.core.settings import check_counts, check_numbers, check_rate, sizes_of
from striate.estimators.labels import classes_of, outputs_of
from striate.estimators.numbers import finite_answers, real_numbers, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Every number of one forward and backward pass and its update; a tuple has one entry for each layer after the input.

    `nets` are weighted sums, `outputs` their sigmoids, `errors` the terms Err_j = -dE/dI_j.
    """

    inputs: np.ndarray
    target: np.ndarray
    nets: Arrays
    outputs: Arrays
    loss: float  # half the squared error, before the update
    errors: Arrays
    coefs: Arrays  # after the update
    intercepts: Arrays

    def __str__(self) -> str:
        lines = [
            f"inputs {self.inputs.tolist()}, target {self.target.tolist()}, loss {self.loss:.6f}",
            "unit   net I        output O     error Err",
        ]
        unit = first = len(self.inputs)
        for net, output, error in zip(self.nets, self.outputs, self.errors, strict=True):
            for values in zip(net, output, error, strict=True):
                unit += 1
                lines.append(f"{unit:<4}" + "".join(f"{value:13.6f}" for value in values))
        before, after = 0, first
        lines.append("after the update:")
        for weights, biases in zip(self.coefs, self.intercepts, strict=True):
            for j in range(weights.shape[1]):
                terms = [f"w({before + i + 1},{after + j + 1}) = {weights[i, j]:.6f}" for i in range(len(weights))]
                lines.append(f"bias({after + j + 1}) = {biases[j]:.6f}  " + "  ".join(terms))
            before, after = after, after + weights.shape[1]
        return "\n".join(lines)


def explain_step(coefs: Sequence[Any], intercepts: Sequence[Any], x: Any, target: Any, *, learning_rate: float) -> Step:
    """One update of a network of sigmoids by back-propagation on one sample, with every intermediate number.

        O_j = 1 / (1 + e^-I_j)     Err_j = O_j (1 - O_j) (T_j - O_j)     Err_j = O_j (1 - O_j) sum_k Err_k w_jk
        w_ij += rate Err_j O_i     bias_j += rate Err_j

    Args:
        coefs: One matrix (inputs, units) for each layer.
        intercepts: One vector (units,) for each layer.
        x: (n,).
        target: (outputs,) in [0, 1].
        learning_rate: The rate.

    Raises:
        ShapeError: the layers do not fit each other, or x or target does not fit them.
        DataError: x or target holds NaN or Inf.
        UsageError: learning_rate is not positive.
    """
    check_rate(learning_rate)
    weights, biases = [real_numbers("coefs", w) for w in coefs], [real_numbers("intercepts", b) for b in intercepts]
    shapes = [w.shape for w in weights]
    sizes = [shape[0] for shape in shapes if len(shape) == 2] + [shape[-1] for shape in shapes[-1:]]
    if not shapes or shapes != list(pairwise(sizes)) or [b.shape for b in biases] != [(size,) for size in sizes[1:]]:
        message = f"coefs must be (inputs, units) and intercepts (units,) layer by layer, got {shapes} and {[b.shape for b in biases]}"
        raise ShapeError(message)
    inputs, wanted = np.asarray(x, float), np.atleast_1d(np.asarray(target, float))
    if inputs.shape != (weights[0].shape[0],) or wanted.shape != biases[-1].shape:
        message = f"x and target must be ({weights[0].shape[0]},) and {biases[-1].shape}, got {inputs.shape} and {wanted.shape}"
        raise ShapeError(message)
    if not (np.isfinite(inputs).all() and np.isfinite(wanted).all()):
        raise DataError("x and target must be finite numbers, got NaN or Inf", "Give the sample without gaps.")
    nets, outputs = [], [inputs]
    for weight, bias in zip(weights, biases, strict=True):
        nets.append(outputs[-1] @ weight + bias)
        outputs.append(expit(nets[-1]))
    errors = [outputs[-1] * (1 - outputs[-1]) * (wanted - outputs[-1])]
    for weight, output in zip(weights[:0:-1], outputs[-2:0:-1], strict=True):
        errors.insert(0, output * (1 - output) * (weight @ errors[0]))
    return Step(
        inputs=inputs,
        target=wanted,
        nets=tuple(nets),
        outputs=tuple(outputs[1:]),
        loss=float(((wanted - outputs[-1]) ** 2).sum() / 2),
        errors=tuple(errors),
        coefs=tuple(w + learning_rate * np.outer(o, e) for w, o, e in zip(weights, outputs[:-1], errors, strict=True)),
        intercepts=tuple(b + learning_rate * e for b, e in zip(biases, errors, strict=True)),
    )


@dataclass(eq=False, repr=False)
class MultilayerPerceptron(Saved, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Layers of sigmoids trained by error back-propagation.

        change = rate * (-dE/dw) + momentum * last change         w += change

    E is half the squared error of sigmoid outputs ("mse"), or the cross-entropy of a sigmoid or softmax ("cross_entropy"), a mean
    over the batch. Two classes have one output, more have one each.

    Args:
        hidden_layer_sizes: Units of each hidden layer; a number for one layer, () for none.
        loss: "cross_entropy" or "mse".
        learning_rate: The rate.
        momentum: Share of the last change that is added.
        batch_size: Samples an update: 1 is the published per-sample rule, None is all.
        max_iter: Epochs at most.
        tol: Ends when no weight changed by more in an epoch.
        min_accuracy: Ends when so large a share of the samples is right; None: never.
        init_range: First weights are uniform in (-init_range, init_range).
        random_state: Seed of the first weights and of the orders.

    Attributes:
        coefs_: One matrix (inputs, units) for each layer.
        intercepts_: One vector (units,) for each layer.
        classes_: The labels.
        loss_curve_: Mean loss of each epoch.
        n_iter_: Epochs.
        stopped_by_: "accuracy", "change" or "max_iter".

    Example:
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> net = MultilayerPerceptron((4,), batch_size=1, learning_rate=0.9, momentum=0, max_iter=2000, min_accuracy=1, random_state=0)
        >>> net.fit(X, y).predict(X).tolist()
        [0, 1, 1, 0]
    """

    hidden_layer_sizes: tuple[int, ...] = (32,)
    _: KW_ONLY
    loss: str = "cross_entropy"
    learning_rate: float = 0.3
    momentum: float = 0.9
    batch_size: int | None = 32
    max_iter: int = 100
    tol: float = 1e-4
    min_accuracy: float | None = None
    init_range: float = 0.5
    random_state: Any = None

    def fit(self, X: Any, y: Any) -> Self:
        """Learn labels y (N,) of X (N, features); sigmoids learn best from features of similar scale, as StandardScaler gives them.

        Raises:
            UsageError: a setting is out of its range.
            NumericError: the weights left the finite numbers.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        generator = random_state_of(self.random_state)
        self._start(X, np.asarray(y), generator)
        targets = outputs_of(y, self.classes_)
        for _ in range(self.max_iter):
            before = [w.copy() for w in (*self.coefs_, *self.intercepts_)]
            self._epoch(X, targets, generator.permutation(len(X)))
            if self.min_accuracy is not None and np.mean(self._labels(self._outputs(X)[-1]) == y) >= self.min_accuracy:
                self.stopped_by_ = "accuracy"
                break
            change = max(np.abs(now - then).max() for now, then in zip((*self.coefs_, *self.intercepts_), before, strict=True))
            if change < self.tol:
                self.stopped_by_ = "change"
                break
        if self.min_accuracy is not None and self.stopped_by_ == "max_iter":
            message = f"min_accuracy {self.min_accuracy:g} was not reached in {self.max_iter} epochs. Raise max_iter, or try another seed."
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One epoch over X, y in their order; the first call names all `classes`, or has them all in y."""
        first = not hasattr(self, "coefs_")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        if first:
            self._start(X, np.asarray(y if classes is None else classes), random_state_of(self.random_state))
        self._epoch(X, outputs_of(y, self.classes_), np.arange(len(X)))
        return self

    def _start(self, X: np.ndarray, y: np.ndarray, generator: np.random.RandomState) -> None:
        if self.loss not in ("cross_entropy", "mse"):
            raise UsageError(f"loss must be cross_entropy or mse, got {self.loss!r}")
        check_rate(self.learning_rate)
        check_counts(max_iter=self.max_iter)
        check_numbers(momentum=self.momentum, tol=self.tol, init_range=self.init_range)
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum must be from 0 to below 1, got {self.momentum}")
        if self.batch_size is not None:
            check_counts(batch_size=self.batch_size)
        if self.init_range < 0:
            raise UsageError(f"init_range must not be negative, got {self.init_range}")
        self.classes_ = classes_of(y)
        hidden = sizes_of("hidden_layer_sizes", self.hidden_layer_sizes)
        sizes = [X.shape[1], *hidden, 1 if len(self.classes_) == 2 else len(self.classes_)]
        reach = self.init_range
        self.coefs_ = [generator.uniform(-reach, reach, shape) for shape in pairwise(sizes)]
        self.intercepts_ = [generator.uniform(-reach, reach, size) for size in sizes[1:]]
        self._last = [np.zeros_like(w) for w in (*self.coefs_, *self.intercepts_)]
        self.loss_curve_: list[float] = []
        self.n_iter_, self.stopped_by_ = 0, "max_iter"

    def _epoch(self, X: np.ndarray, targets: np.ndarray, order: np.ndarray) -> None:
        size, total = self.batch_size or len(X), 0.0
        weights = (*self.coefs_, *self.intercepts_)
        for start in range(0, len(X), size):
            batch = order[start : start + size]
            loss, gradients = self.gradients(X[batch], targets[batch])
            total += loss * len(batch)
            for place, gradient in enumerate(gradients):
                self._last[place] *= self.momentum
                self._last[place] -= self.learning_rate * gradient
                np.add(weights[place], self._last[place], out=weights[place])
        self.n_iter_ += 1
        self.loss_curve_.append(total / len(X))
        if not np.isfinite(total):
            raise NumericError(f"the loss is not finite in epoch {self.n_iter_}", f"Lower learning_rate, which is {self.learning_rate:g}.")

    def _outputs(self, X: np.ndarray) -> list[np.ndarray]:
        """The output of each layer, the input first."""
        outputs = [X]
        for layer, (weight, bias) in enumerate(zip(self.coefs_, self.intercepts_, strict=True), start=1):
            net = outputs[-1] @ weight + bias
            many = layer == len(self.coefs_) and self.loss == "cross_entropy" and len(self.classes_) > 2
            outputs.append(softmax(net, axis=1) if many else expit(net))
        return outputs

    def gradients(self, X: np.ndarray, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The mean loss over X (N, n) and targets (N, outputs), and its gradients: of all coefs_, then of all intercepts_."""
        outputs = self._outputs(X)
        answer = outputs[-1]
        if self.loss == "mse":
            loss = float(((targets - answer) ** 2).sum() / 2) / len(X)
            delta = (answer - targets) * answer * (1 - answer)
        else:
            tiny = np.finfo(float).tiny
            missed = (1 - targets) * np.log(np.maximum(1 - answer, tiny)) if answer.shape[1] == 1 else 0.0
            loss = -float((targets * np.log(np.maximum(answer, tiny)) + missed).sum()) / len(X)
            delta = answer - targets
        coefs: list[np.ndarray] = []
        intercepts: list[np.ndarray] = []
        delta = delta / len(X)
        for layer in reversed(range(len(self.coefs_))):
            coefs.insert(0, outputs[layer].T @ delta)
            intercepts.insert(0, delta.sum(0))
            if layer:
                delta = delta @ self.coefs_[layer].T * outputs[layer] * (1 - outputs[layer])
        return loss, [*coefs, *intercepts]

    def explain_step(self, x: Any, target: Any) -> Step:
        """Every number of one published update (sigmoids, squared error, no momentum) from the weights as they are, which stay.

        Args:
            x: (n,).
            target: (outputs,) in [0, 1].
        """
        check_is_fitted(self)
        return explain_step(self.coefs_, self.intercepts_, x, target, learning_rate=self.learning_rate)

    def _labels(self, answer: np.ndarray) -> np.ndarray:
        labels: np.ndarray = self.classes_[(answer[:, 0] > 0.5).astype(int) if answer.shape[1] == 1 else answer.argmax(1)]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """The share of each class (N, K); with "mse", outputs divided by their sum."""
        check_is_fitted(self)
        answer = self._answer(X)
        if answer.shape[1] == 1:
            return np.hstack([1 - answer, answer])
        shares: np.ndarray = answer / np.maximum(answer.sum(1, keepdims=True), np.finfo(float).tiny)
        return shares

    def predict(self, X: Any) -> np.ndarray:
        """The label of each row."""
        check_is_fitted(self)
        return self._labels(self._answer(X))

    def _answer(self, X: Any) -> np.ndarray:
        """The outputs of the last layer for each row (N, outputs)."""
        return finite_answers(self._outputs(validate_data(self, X, dtype=np.float64, reset=False))[-1])
