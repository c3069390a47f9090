"""Shared by dense networks for classes and for numbers: layers in NumPy, their gradients, and three ways downhill.

Sources: Rumelhart, Hinton and Williams, 1986, "Learning representations by back-propagating errors" (gradients, descent with momentum);
Kingma and Ba, 2015, arXiv:1412.6980 (Adam); Liu and Nocedal, 1989 (L-BFGS); Glorot and Bengio, 2010, and He et al., 2015 (first weights).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import NumericError, UsageError
from striate.core.settings import check_counts, check_numbers, check_rate, sizes_of
from striate.estimators.neurons.activations import LOSSES, activated, back_through, loss_of, names_of
from striate.estimators.neurons.explained import Step, explain_step
from striate.estimators.numbers import finite_answers, need_units, num_dense, standardization, validate_data
from striate.estimators.persistence import Saved

Update = Callable[[list[np.ndarray]], None]  # changes the weights by their gradients
OPTIMIZERS = ("auto", "lbfgs", "adam", "sgd")
FEW = 2000  # samples up to which L-BFGS is the default
RATES = {"adam": 0.01, "sgd": 0.3}
BETAS, EPS = (0.9, 0.999), 1e-8  # of Adam
MIN_EPOCHS, MIN_UPDATES = 100, 2000  # at most, by default: small data has few updates an epoch
MOST_STEPS = 1000  # of L-BFGS by default
LBFGS_NUMBERS, OTHER_NUMBERS = 30, 6  # float64 for each parameter while learning: SciPy's L-BFGS keeps ten steps and ten gradients
STILL = 10  # epochs in which the loss has to fall
REACH = 0.5  # of the published first weights


class DenseNetwork(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """The base of both estimators: settings, layers, learning. A subclass says the last activation."""

    hidden_layer_sizes: int | Sequence[int]
    activation: str | Sequence[str]
    loss: str
    optimizer: str
    learning_rate: float | None
    momentum: float
    batch_size: int | None
    max_iter: int | None
    tol: float
    standardize: bool
    init_range: float | None

    @property
    def _last_activation(self) -> str:
        raise NotImplementedError

    @property
    def _penalty(self) -> float:
        """Of L-BFGS: half of it times the squared weights, over the number of samples."""
        raise NotImplementedError

    def _check(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError(f"loss must be {', '.join(LOSSES[:-1])} or {LOSSES[-1]}, got {self.loss!r}")
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(f"optimizer must be {', '.join(OPTIMIZERS[:-1])} or {OPTIMIZERS[-1]}, got {self.optimizer!r}")
        if self.learning_rate is not None:
            check_rate(self.learning_rate)
        for name, count in {"max_iter": self.max_iter, "batch_size": self.batch_size}.items():
            check_counts(**{name: 1 if count is None else count})
        check_numbers(momentum=self.momentum, tol=self.tol, init_range=0.0 if self.init_range is None else self.init_range)
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum must be from 0 to below 1, got {self.momentum}")
        if self.init_range is not None and self.init_range < 0:
            raise UsageError(f"init_range must not be negative, got {self.init_range}")
        names_of(self.activation, len(sizes_of("hidden_layer_sizes", self.hidden_layer_sizes)))

    def _optimizer(self, num_samples: int) -> str:
        """The one that is chosen, or what suits the settings and the number of samples."""
        if self.optimizer != "auto":
            return self.optimizer
        return "sgd" if self.learning_rate is not None else "lbfgs" if num_samples <= FEW else "adam"

    # ---- layers

    def _begin(self, X: np.ndarray, num_outputs: int, generator: np.random.RandomState, *, published: bool) -> None:
        """First weights; no history.

        Raises:
            EnvironmentFault: there is too little memory for so many units.
        """
        num_inputs = X.shape[1]
        hidden = sizes_of("hidden_layer_sizes", self.hidden_layer_sizes)
        sizes = [num_inputs, *hidden, num_outputs]
        kept = LBFGS_NUMBERS if self._optimizer(len(X)) == "lbfgs" else OTHER_NUMBERS
        need_units(self, num_dense(sizes), 8 * (kept * num_dense(sizes) + 2 * len(X) * sum(sizes)))
        self.activations_ = (*names_of(self.activation, len(hidden)), self._last_activation)
        reaches = [self._reach(pair, name, published=published) for pair, name in zip(pairwise(sizes), self.activations_, strict=True)]
        self.coefs_ = [generator.uniform(-reach, reach, shape) for reach, shape in zip(reaches, pairwise(sizes), strict=True)]
        self.intercepts_ = [generator.uniform(-reach, reach, size) for reach, size in zip(reaches, sizes[1:], strict=True)]
        self._last = [np.zeros_like(w) for w in self._weights()]
        self.mean_, self.scale_ = np.zeros(num_inputs), np.ones(num_inputs)
        self.loss_curve_: list[float] = []
        self.n_iter_, self.stopped_by_ = 0, "max_iter"

    def _reach(self, sizes: tuple[int, int], activation: str, *, published: bool) -> float:
        if self.init_range is not None or published:
            return REACH if self.init_range is None else self.init_range
        gain = {"relu": 2**0.5, "leaky_relu": 2**0.5, "elu": 2**0.5}.get(activation, 1.0)
        return float(gain * (6 / sum(sizes)) ** 0.5)

    def _weights(self) -> list[np.ndarray]:
        return [*self.coefs_, *self.intercepts_]

    def _forward(self, X: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The weighted sums of each layer, and the outputs, the input first."""
        nets: list[np.ndarray] = []
        outputs = [X]
        for weight, bias, name in zip(self.coefs_, self.intercepts_, self.activations_, strict=True):
            nets.append(outputs[-1] @ weight + bias)
            outputs.append(activated(name, nets[-1]))
        return nets, outputs

    def gradients(self, X: np.ndarray, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The mean loss over X (N, n) and targets (N, outputs), and its gradients: of all coefs_, then of all intercepts_."""
        nets, outputs = self._forward(X)
        names = self.activations_
        losses, delta = loss_of(self.loss, names[-1], nets[-1], outputs[-1], targets)
        delta = delta / len(X)
        coefs: list[np.ndarray] = []
        intercepts: list[np.ndarray] = []
        for layer in reversed(range(len(self.coefs_))):
            coefs.insert(0, outputs[layer].T @ delta)
            intercepts.insert(0, delta.sum(0))
            if layer:
                delta = back_through(names[layer - 1], nets[layer - 1], outputs[layer], delta @ self.coefs_[layer].T)
        return float(losses.mean()), [*coefs, *intercepts]

    def explain_step(self, x: Any, target: Any = None) -> Step:
        """Every number of one update of plain descent from the weights as they are, which stay; without a target, the outputs alone.

        Args:
            x: (n,), in the units of X.
            target: (outputs,): of classes, 0 or 1 for each output.
        """
        check_is_fitted(self)
        rate = RATES["sgd"] if self.learning_rate is None else self.learning_rate
        return explain_step(self.coefs_, self.intercepts_, x, target, learning_rate=rate, activation=self.activations_, loss=self.loss)

    def _answer(self, X: Any) -> np.ndarray:
        """The outputs of the last layer for each row (N, outputs)."""
        return finite_answers(self._forward(validate_data(self, X, dtype=np.float64, reset=False))[1][-1])

    # ---- learning

    def _learn(self, X: np.ndarray, targets: np.ndarray, generator: np.random.RandomState, is_done: Callable[[np.ndarray], bool]) -> None:
        """Train the first weights on X (N, n), standardized; the weights that are kept take X as it is."""
        if self.standardize:
            self.mean_, self.scale_ = standardization(X)
        inputs = (X - self.mean_) / self.scale_
        chosen = self._optimizer(len(X))
        if chosen == "lbfgs":
            self._minimise(inputs, targets, is_done)
        else:
            self._descend(inputs, targets, generator, is_done, self._adam() if chosen == "adam" else self._with_momentum)
        self._fold()

    def _fold(self) -> None:
        """Weights of standardized inputs become those of X."""
        self.coefs_[0] = self.coefs_[0] / self.scale_[:, None]
        self.intercepts_[0] = self.intercepts_[0] - self.mean_ @ self.coefs_[0]

    def _unfold(self) -> None:
        self.intercepts_[0] = self.intercepts_[0] + self.mean_ @ self.coefs_[0]
        self.coefs_[0] = self.coefs_[0] * self.scale_[:, None]

    def _minimise(self, X: np.ndarray, targets: np.ndarray, is_done: Callable[[np.ndarray], bool]) -> None:
        """L-BFGS on all samples, with a small penalty, so that there is a minimum."""
        count, penalty = len(self.coefs_), self._penalty / len(X)

        def take(flat: np.ndarray) -> None:
            places = np.cumsum([w.size for w in self._weights()])[:-1]
            parts = [part.reshape(w.shape) for part, w in zip(np.split(flat, places), self._weights(), strict=True)]
            self.coefs_, self.intercepts_ = parts[:count], parts[count:]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            take(flat)
            value, gradients = self.gradients(X, targets)
            for gradient, weight in zip(gradients, self.coefs_, strict=False):
                value += penalty / 2 * float((weight**2).sum())
                np.add(gradient, penalty * weight, out=gradient)
            return value, np.concatenate([gradient.ravel() for gradient in gradients])

        def after(intermediate_result: OptimizeResult) -> None:
            self.loss_curve_.append(float(intermediate_result.fun))
            self.n_iter_ += 1
            take(intermediate_result.x)
            if is_done(X) or (self.tol and not self._falls()):
                self.stopped_by_ = "accuracy" if is_done(X) else "loss"
                raise StopIteration

        most = MOST_STEPS if self.max_iter is None else self.max_iter
        options = {"maxiter": most, "maxfun": 10 * most, "ftol": 0.0, "gtol": self.tol}
        start = np.concatenate([w.ravel() for w in self._weights()])
        take(minimize(loss, start, jac=True, method="L-BFGS-B", options=options, callback=after).x.copy())
        self._refuse_bad(self.gradients(X, targets)[0])
        if self.stopped_by_ == "max_iter" and self.n_iter_ < most:
            self.stopped_by_ = "gradient"
        self._warn(most, "steps", falling=True)
        self.n_iter_ = max(1, self.n_iter_)

    def _descend(
        self,
        X: np.ndarray,
        targets: np.ndarray,
        generator: np.random.RandomState,
        is_done: Callable[[np.ndarray], bool],
        update: Update,
    ) -> None:
        """Epochs in new orders until a rule ends them."""
        steps = -(-len(X) // (self.batch_size or len(X)))
        most = max(MIN_EPOCHS, -(-MIN_UPDATES // steps)) if self.max_iter is None else self.max_iter
        for _ in range(most):
            before = [w.copy() for w in self._weights()]
            self._epoch(X, targets, generator.permutation(len(X)), update)
            change = max(np.abs(now - then).max() for now, then in zip(self._weights(), before, strict=True))
            if is_done(X):
                self.stopped_by_ = "accuracy"
            elif change < self.tol:
                self.stopped_by_ = "change"
            elif update != self._with_momentum and self.tol and not self._falls():
                self.stopped_by_ = "loss"
            if self.stopped_by_ != "max_iter":
                return
        self._warn(most, "epochs", falling=self._falls())

    def _falls(self) -> bool:
        """Return whether the loss fell by more than `tol` in the last epochs."""
        late = self.loss_curve_[-STILL:]
        return len(self.loss_curve_) <= STILL or min(late) < min(self.loss_curve_[:-STILL]) - self.tol

    def _epoch(self, X: np.ndarray, targets: np.ndarray, order: np.ndarray, update: Update | None = None) -> None:
        size, total = self.batch_size or len(X), 0.0
        for start in range(0, len(X), size):
            batch = order[start : start + size]
            loss, gradients = self.gradients(X[batch], targets[batch])
            total += loss * len(batch)
            (update or self._with_momentum)(gradients)
        self.n_iter_ += 1
        self.loss_curve_.append(total / len(X))
        self._refuse_bad(total)

    def _refuse_bad(self, loss: float) -> None:
        if not np.isfinite(loss):
            remedy = f"Lower learning_rate, which is {self.learning_rate:g}." if self.learning_rate is not None else "Check the units of X."
            raise NumericError(f"the loss is not finite in epoch {self.n_iter_}", remedy)

    def _with_momentum(self, gradients: list[np.ndarray]) -> None:
        rate = RATES["sgd"] if self.learning_rate is None else self.learning_rate
        for weight, last, gradient in zip(self._weights(), self._last, gradients, strict=True):
            np.subtract(self.momentum * last, rate * gradient, out=last)
            np.add(weight, last, out=weight)

    def _adam(self) -> Update:
        rate = RATES["adam"] if self.learning_rate is None else self.learning_rate
        first, second = ([np.zeros_like(w) for w in self._weights()] for _ in BETAS)
        steps = 0

        def update(gradients: list[np.ndarray]) -> None:
            nonlocal steps
            steps += 1
            shares = [1 - beta**steps for beta in BETAS]
            for weight, m, v, gradient in zip(self._weights(), first, second, gradients, strict=True):
                np.add(m, (1 - BETAS[0]) * (gradient - m), out=m)
                np.add(v, (1 - BETAS[1]) * (gradient**2 - v), out=v)
                np.subtract(weight, rate * (m / shares[0]) / (np.sqrt(v / shares[1]) + EPS), out=weight)

        return update

    def _warn(self, most: int, unit: str, *, falling: bool) -> None:
        """As scikit-learn does where the iterations ended before the descent."""
        if self.stopped_by_ == "max_iter" and self.tol and falling:
            message = f"the loss was still falling after max_iter = {most} {unit}. Raise max_iter."
            warnings.warn(message, ConvergenceWarning, stacklevel=5)
