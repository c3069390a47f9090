"""The multilayer perceptron: dense layers trained by error back-propagation, for classes and for numbers.

Source: Rumelhart, Hinton and Williams, 1986, "Learning representations by back-propagating errors".
Departs from the source, at the defaults: inputs are standardized inside, and L-BFGS or Adam goes downhill in place of plain descent, as
scikit-learn's `MLPClassifier` does; a given learning_rate, or optimizer="sgd", brings the published rule.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UsageError
from striate.core.settings import check_counts, check_word
from striate.estimators.labels import classes_of, outputs_of
from striate.estimators.neurons.activations import names_of
from striate.estimators.neurons.dense import DenseNetwork
from striate.estimators.neurons.regions import Regions
from striate.estimators.numbers import standardization, validate_data
from striate.estimators.randomness import random_state_of


@dataclass(eq=False, repr=False)
class MultilayerPerceptron(Regions, ClassifierMixin, DenseNetwork):  # type: ignore[misc]  # scikit-learn carries no types
    """Dense layers that tell classes apart, trained by error back-propagation.

        change = rate * (-dE/dw) + momentum * last change         w += change

    E is half the squared error of sigmoid outputs ("mse"), or the cross-entropy of a sigmoid or softmax ("cross_entropy"), a mean
    over the batch. Two classes have one output, more have one each.

    Args:
        hidden_layer_sizes: Units of each hidden layer; a number for one layer, () for none.
        activation: Of the hidden layers, by its name in the vocabulary of layers; or one name for each.
        loss: "cross_entropy" or "mse".
        optimizer: "lbfgs" (all samples at once), "adam", "sgd" (the published rule, above), or "auto": sgd where a learning_rate is
            given, else lbfgs for up to 2,000 samples and adam for more.
        learning_rate: Of sgd and adam; None: 0.3 and 0.01.
        momentum: Share of the last change that sgd adds.
        batch_size: Samples an update: 1 is the published per-sample rule, None is all.
        max_iter: Epochs at most, or steps of lbfgs; None: 100 epochs or as many as 2,000 updates take, 1,000 steps of lbfgs. A
            ConvergenceWarning says that the loss was still falling.
        tol: sgd ends when no weight changed by more in an epoch; adam and lbfgs also when the loss fell by less in ten, lbfgs when no
            part of the gradient is larger; 0: never.
        min_accuracy: Ends when so large a share of the samples is right; None: never.
        restarts: Trains again from other first weights, so many times at most, until the share of `min_accuracy` (None: 1) is right;
            the best training is kept.
        standardize: Bring each feature to mean 0 and deviation 1 inside.
        init_range: First weights are uniform in (-init_range, init_range); None: 0.5 for sgd, else by the sizes of the layers.
        random_state: Seed of the first weights and of the orders.

    Attributes:
        coefs_: One matrix (inputs, units) for each layer; those of the first are of X as it is given.
        intercepts_: One vector (units,) for each layer.
        activations_: The name of each layer's, the output's last.
        classes_: The labels.
        mean_, scale_: Of each feature, as the inputs were standardized.
        loss_curve_: Mean loss of each epoch or step.
        n_iter_: Epochs, or steps.
        stopped_by_: "accuracy", "change", "loss", "gradient" or "max_iter".
        start_scores_: The share of the samples that was right after each training, of which the first largest is that of the weights.

    Example:
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> MultilayerPerceptron(random_state=0).fit(X, y).predict(X).tolist()
        [0, 1, 1, 0]
    """

    hidden_layer_sizes: tuple[int, ...] = (32,)
    _: KW_ONLY
    activation: str | Sequence[str] = "sigmoid"
    loss: str = "cross_entropy"
    optimizer: str = "auto"
    learning_rate: float | None = None
    momentum: float = 0.9
    batch_size: int | None = 32
    max_iter: int | None = None
    tol: float = 1e-4
    min_accuracy: float | None = None
    restarts: int = 0
    standardize: bool = True
    init_range: float | None = None
    random_state: Any = None

    @property
    def _last_activation(self) -> str:
        return "softmax" if self.loss == "cross_entropy" and len(self.classes_) > 2 else "sigmoid"

    @property
    def _penalty(self) -> float:
        return 1e-2  # without one, the weights of classes that are told apart would grow on

    def fit(self, X: Any, y: Any) -> Self:
        """Learn labels y (N,) of X (N, features).

        Raises:
            UsageError: a setting is out of its range.
            NumericError: the weights left the finite numbers.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_counts(restarts=self.restarts, least=0)
        generator, wanted = random_state_of(self.random_state), 1.0 if self.min_accuracy is None else self.min_accuracy
        scores, best = list[float](), dict[str, Any]()
        while not scores or (max(scores) < wanted and len(scores) <= self.restarts):
            self._start(X, np.asarray(y), generator, published=self._optimizer(len(X)) == "sgd")
            self._learn(X, outputs_of(y, self.classes_), generator, lambda inputs: self._is_right(inputs, y))
            scores.append(float(np.mean(self._labels(self._forward(X)[1][-1]) == y)))
            best = dict(vars(self)) if scores[-1] > max(scores[:-1], default=-1.0) else best
        self.__dict__.update(best, start_scores_=scores)
        if self.min_accuracy is not None and max(scores) < self.min_accuracy:
            starts = f" from any of {len(scores)} starts" if self.restarts else ""
            remedy = "other hidden_layer_sizes" if self.restarts else "restarts=5"
            message = f"min_accuracy {wanted:g} was not reached in {self.n_iter_} epochs{starts}. Raise max_iter, or try {remedy}."
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def _is_right(self, inputs: np.ndarray, y: np.ndarray) -> bool:
        """Return whether as many samples are right as `min_accuracy` wants."""
        return self.min_accuracy is not None and bool(np.mean(self._labels(self._forward(inputs)[1][-1]) == y) >= self.min_accuracy)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One epoch of sgd over X, y in their order; the first call names all `classes`, or has them all in y.

        Without a `fit` before, X is taken as it is: give features of similar scale.
        """
        first = not hasattr(self, "coefs_")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        if first:
            self._start(X, np.asarray(y if classes is None else classes), random_state_of(self.random_state), published=True)
        targets = outputs_of(y, self.classes_)
        self._unfold()
        self._epoch((X - self.mean_) / self.scale_, targets, np.arange(len(X)))
        self._fold()
        return self

    def _start(self, X: np.ndarray, y: np.ndarray, generator: np.random.RandomState, *, published: bool) -> None:
        check_word(loss=self.loss, known=("cross_entropy", "mse"))
        self._check()
        self.classes_ = classes_of(y)
        self._begin(X, 1 if len(self.classes_) == 2 else len(self.classes_), generator, published=published)

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


@dataclass(eq=False, repr=False)
class MultilayerRegressor(MultiOutputMixin, RegressorMixin, DenseNetwork):  # type: ignore[misc]  # as above
    """Dense layers that give numbers, trained by error back-propagation.

        h = f(W1 x + b1), ...         y = g(W h + b)         E = mean (y - target)^2 / 2

    With no hidden layer and g = relu it is one unit, y = max(w x + b, 0), whose w and b are found again from its answers.

    Args:
        hidden_layer_sizes: Units of each hidden layer; a number for one layer, () for none.
        activation: f, of the hidden layers, by its name in the vocabulary of layers; or one name for each.
        output_activation: g: "identity" for any numbers, "relu" for numbers that are not negative, "sigmoid" for shares, or another.
        loss: "mse" or "mae".
        optimizer, learning_rate, momentum, batch_size, max_iter, tol, standardize, init_range, random_state: As those of
            `MultilayerPerceptron`; the targets are scaled too.

    Attributes:
        coefs_: One matrix (inputs, units) for each layer; those of X and y as they are given.
        intercepts_: One vector (units,) for each layer.
        activations_, mean_, scale_, loss_curve_, n_iter_, stopped_by_: As those of `MultilayerPerceptron`.

    Example:
        >>> X = np.linspace(-2, 2, 41)[:, None]
        >>> unit = MultilayerRegressor((), output_activation="relu", random_state=0).fit(X, np.maximum(3 * X[:, 0] - 1.5, 0))
        >>> unit.coefs_[0].round(2).tolist(), unit.intercepts_[0].round(2).tolist()
        ([[3.0]], [-1.5])
    """

    hidden_layer_sizes: tuple[int, ...] = (32,)
    _: KW_ONLY
    activation: str | Sequence[str] = "tanh"
    output_activation: str = "identity"
    loss: str = "mse"
    optimizer: str = "auto"
    learning_rate: float | None = None
    momentum: float = 0.9
    batch_size: int | None = 32
    max_iter: int | None = None
    tol: float = 1e-4
    standardize: bool = True
    init_range: float | None = None
    random_state: Any = None

    @property
    def _last_activation(self) -> str:
        return self.output_activation

    @property
    def _penalty(self) -> float:
        return 0.1 if len(self.coefs_) > 1 else 0.0  # one layer hardly overfits, and its weights are found exactly

    def fit(self, X: Any, y: Any) -> Self:
        """Learn numbers y (N,) or (N, k) of X (N, features).

        Raises:
            UsageError: a setting is out of its range.
            NumericError: the weights left the finite numbers.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._check()
        if self.loss == "cross_entropy":
            raise UsageError("loss must be mse or mae, got 'cross_entropy'")
        names_of((self.output_activation,), 1)
        y = np.asarray(y, float)
        self._is_one = y.ndim == 1
        targets = y.reshape(len(y), -1)
        middle, scale = self._scaling(targets)
        generator = random_state_of(self.random_state)
        self._begin(X, targets.shape[1], generator, published=self._optimizer(len(X)) == "sgd")
        self._learn(X, (targets - middle) / scale, generator, lambda _: False)
        self.coefs_[-1] = self.coefs_[-1] * scale
        self.intercepts_[-1] = self.intercepts_[-1] * scale + middle
        return self

    def _scaling(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The offset and the divisor of the targets, where the last layer can undo them."""
        none, one = np.zeros(targets.shape[1]), np.ones(targets.shape[1])
        if not self.standardize or self.output_activation not in ("identity", "relu"):
            return none, one
        middle, scale = standardization(targets)
        return (none if self.output_activation == "relu" else middle), scale

    def predict(self, X: Any) -> np.ndarray:
        """The numbers: (N,) or (N, k), as y was."""
        check_is_fitted(self)
        answer = self._answer(X)
        return answer[:, 0] if self._is_one else answer
