"""Recurrent networks that read a sequence and give one output, at its end.

Sources: Elman, 1990, "Finding structure in time"; Werbos, 1990, "Backpropagation through time: what it does and how to do it";
Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000; Cho et al., 2014, arXiv:1406.1078v3.
Departs from the sources: the rates of the weights are Adam's, unless "sgd" is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import NumericError, ShapeError, UsageError
from striate.core.seeds import torch_seed
from striate.core.settings import check_counts, check_limit, check_numbers, check_rate, check_word
from striate.estimators.numbers import finite_answers, need_units, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import seed_of
from striate.estimators.sequences.padded import Padded, as_sequences, check_magnitude, is_table
from striate.estimators.sequences.reader import SequenceReader, set_forget_bias
from striate.models.threads import on_one_thread
from striate.networks.layers import GRU, LSTM, Elman, Linear
from striate.networks.layers.recurrent import Recurrent

ON_ONE_THREAD = 128  # hidden units up to which a second thread gains less than it may cost
PREDICTED_AT_ONCE = 256  # sequences


@dataclass(eq=False, repr=False)
class RecurrentEstimator(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """The base of the recurrent estimators; the subclass defines the cells and the meaning of the output."""

    hidden_size: int = 32
    _: KW_ONLY
    num_layers: int = 1
    bidirectional: bool = False
    max_iter: int = 100
    batch_size: int = 32
    optimizer: str = "adam"
    learning_rate: float = 0.01
    max_grad_norm: float | None = 1.0
    truncate: int | None = None
    device: str = "auto"
    random_state: Any = None

    def states(self, X: Any) -> list[np.ndarray]:
        """The states of the last level after each step: (T_i, hidden_size) for each sequence, both directions side by side."""
        return [states[:length] for batch, states in self._run(X, states=True) for length, states in zip(batch, states, strict=True)]

    def _layer(self) -> Recurrent:
        raise NotImplementedError

    def _begin(self, module: SequenceReader) -> None:
        """Set the first weights, where the source has others than torch."""

    def _check(self) -> None:
        check_counts(hidden_size=self.hidden_size, num_layers=self.num_layers, max_iter=self.max_iter, batch_size=self.batch_size)
        check_rate(self.learning_rate)
        check_limit(self.max_grad_norm)
        check_word(optimizer=self.optimizer, known=("adam", "sgd"))
        if self.truncate is not None:
            check_counts(truncate=self.truncate)
        if self.truncate is not None and self.bidirectional:
            raise UsageError("truncate does not apply to bidirectional cells", "Leave out truncate, or bidirectional.")

    def _read(self, X: Any, *, fitting: bool) -> Padded:
        """The sequences of X; tables go through scikit-learn's own checks."""
        if getattr(X, "ndim", 0) == 1 and X.dtype == object:  # sequences of unequal length in an array
            X = list(X)
        if is_table(X) and (fitting or self.is_table_):
            values = validate_data(self, X, dtype=np.float64, reset=fitting)
            check_magnitude(values, "X")
            if fitting:
                self.is_table_: bool = True
                self.n_inputs_ = 1
            return Padded(values.astype(np.float32)[:, :, None], np.full(len(values), values.shape[1]))
        sequences = as_sequences(X, None if fitting else self.n_inputs_)
        if fitting:
            self.is_table_ = False
            self.n_inputs_ = self.n_features_in_ = sequences.values.shape[2]
        return sequences

    def _train(self, sequences: Padded, targets: np.ndarray, num_outputs: int) -> None:
        """Fit to targets (N,) int64 classes, or (N, K) float numbers."""
        device = choose_device(self.device)
        layer, read = self._layer(), (1, self.n_inputs_)
        need_units(self, layer.cost(read).params + Linear(num_outputs).cost(layer.output_shape(read)).params)
        with torch_seed(seed_of(self.random_state), device):
            module = SequenceReader(self._layer(), self.n_inputs_, num_outputs)
            self._begin(module)
            module.to(device)
            epochs = self._epochs(module, sequences, torch.from_numpy(targets))
            small = device.type == "cpu" and self.hidden_size <= ON_ONE_THREAD
            self.loss_curve_ = list(on_one_thread(epochs) if small else epochs)
        self.n_iter_ = len(self.loss_curve_)
        self.n_outputs_ = num_outputs
        self.weights_ = {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}

    def _epochs(self, module: SequenceReader, sequences: Padded, targets: Tensor) -> Iterator[float]:
        """Train, and return the mean loss of each epoch."""
        device = next(module.parameters()).device
        values, lengths = torch.from_numpy(sequences.values), torch.from_numpy(sequences.lengths)
        kinds: dict[str, Any] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        optimizer = kinds[self.optimizer](module.parameters(), lr=self.learning_rate, fused=device.type != "mps")
        loss_fn: Any = F.mse_loss if targets.is_floating_point() else F.cross_entropy
        updates = self.max_iter * -(-len(values) // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
        for epoch in range(1, self.max_iter + 1):
            total = 0.0
            for rows in torch.split(torch.randperm(len(values)), self.batch_size):
                steps = int(lengths[rows].max())
                outputs = module(values[rows, :steps].to(device), lengths[rows], self.truncate)
                loss = loss_fn(outputs, targets[rows].to(device))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if self.max_grad_norm is not None:
                    nn.utils.clip_grad_norm_(module.parameters(), self.max_grad_norm)
                optimizer.step()
                schedule.step()
                total += loss.item() * len(rows)
                if not np.isfinite(total):
                    remedy = f"Lower learning_rate, which is {self.learning_rate:g}, or give max_grad_norm, which is {self.max_grad_norm}."
                    raise NumericError(f"the loss is not finite in epoch {epoch}", remedy)
            yield total / len(values)

    def _run(self, X: Any, *, states: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Lengths, and outputs (n, K) or states (n, T, H), of so many sequences at a time; in float64, where the device has it."""
        check_is_fitted(self, "weights_")
        sequences = self._read(X, fitting=False)
        device = choose_device(self.device)
        device, dtype = (device, torch.float64) if device.type != "mps" else (torch.device("cpu"), torch.float64)
        module = SequenceReader(self._layer(), self.n_inputs_, self.n_outputs_)
        module.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in self.weights_.items()})
        module.to(device=device, dtype=dtype)
        for start in range(0, len(sequences.lengths), PREDICTED_AT_ONCE):
            chosen = slice(start, start + PREDICTED_AT_ONCE)
            lengths = torch.from_numpy(sequences.lengths[chosen])
            x = torch.from_numpy(sequences.values[chosen, : int(lengths.max())]).to(device=device, dtype=dtype)
            with torch.inference_mode():
                found = module.run(x, lengths, None)[0] if states else module(x, lengths)
            yield lengths.numpy(), found.cpu().numpy()

    def _outputs(self, X: Any) -> np.ndarray:
        return finite_answers(np.concatenate([outputs for _, outputs in self._run(X)]))


class SequenceClassifier(ClassifierMixin, RecurrentEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A class for each sequence, by cross-entropy."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn labels y (N,) of the sequences X.

        Args:
            X: An array (N, T, F), a list or an object array of arrays (T_i, F) or (T_i,), or a table (N, T).
            y: One label per sequence.

        Raises:
            UsageError: a setting is out of its range.
            DataError: a sequence has length 0, or holds what is not finite.
            ShapeError: the sequences have unequal numbers of features.
            NumericError: the loss left the finite numbers.
        """
        self._check()
        sequences = self._read(X, fitting=True)
        y = column_or_1d(y, warn=True)
        check_consistent_length(sequences.values, y)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise UsageError(f"y must hold at least two classes, got one class: {self.classes_.tolist()[0]!r}")
        self._train(sequences, numbers.astype(np.int64), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (N, K)."""
        probabilities: np.ndarray = softmax(self._outputs(X), axis=1)
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each sequence."""
        best = self._outputs(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels


class SequenceRegressor(RegressorMixin, RecurrentEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Numbers for each sequence, by least squares; the network learns them with mean 0 and deviation 1."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn numbers y (N,) or (N, K) of the sequences X, in any of the forms that `LSTMClassifier.fit` takes.

        Raises: what that raises.
        """
        self._check()
        sequences = self._read(X, fitting=True)
        if y is None:
            raise UsageError(f"requires y to be passed, but the target y is None: {type(self).__name__} learns numbers")
        numbers = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        check_consistent_length(sequences.values, numbers)
        if numbers.ndim > 2:
            raise ShapeError(f"y must have shape (N,) or (N, K), got {numbers.shape}")
        self.is_flat_ = numbers.ndim == 1
        numbers = numbers.reshape(len(numbers), -1)
        self.target_mean_ = numbers.mean(0)
        deviation = numbers.std(0)
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        targets = ((numbers - self.target_mean_) / self.target_scale_).astype(np.float32)
        self._train(sequences, targets, targets.shape[1])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers (N,) or (N, K) of each sequence, in the units and the shape of y."""
        numbers: np.ndarray = self._outputs(X) * self.target_scale_ + self.target_mean_
        return numbers[:, 0] if self.is_flat_ else numbers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class ElmanCells(RecurrentEstimator):
    """Settings of Elman's cells."""

    activation: str = "tanh"
    spectral_radius: float | None = None

    def _check(self) -> None:
        super()._check()
        check_word(activation=self.activation, known=("tanh", "relu"))
        if self.spectral_radius is not None:
            check_numbers(spectral_radius=self.spectral_radius)
        if self.spectral_radius is not None and self.spectral_radius <= 0:
            raise UsageError(f"spectral_radius must be positive or None, got {self.spectral_radius}")

    def _layer(self) -> Recurrent:
        return Elman(self.hidden_size, self.num_layers, self.bidirectional, activation="relu" if self.activation == "relu" else "tanh")

    def _begin(self, module: SequenceReader) -> None:
        if self.spectral_radius is not None:
            with torch.no_grad():
                for name, weight in module.cells.named_parameters():
                    if name.startswith("weight_hh"):
                        weight.mul_(self.spectral_radius / torch.linalg.eigvals(weight).abs().max())


@dataclass(kw_only=True, eq=False, repr=False)
class LSTMCells(RecurrentEstimator):
    """Settings of LSTM cells."""

    forget_bias: float = 1.0

    def _check(self) -> None:
        super()._check()
        check_numbers(forget_bias=self.forget_bias)

    def _layer(self) -> Recurrent:
        return LSTM(self.hidden_size, self.num_layers, self.bidirectional)

    def _begin(self, module: SequenceReader) -> None:
        set_forget_bias(module.cells, self.forget_bias)


class GRUCells(RecurrentEstimator):
    """Settings of GRU cells."""

    def _layer(self) -> Recurrent:
        return GRU(self.hidden_size, self.num_layers, self.bidirectional)


class ElmanClassifier(SequenceClassifier, ElmanCells):
    r"""Elman's simple recurrent network: labels of sequences.

        s_t = tanh(U x_t + W s_(t-1) + b)         logits = V s_T + c

    It is taught by back-propagation through time: the gradient of s_t by s_k is the product of W^T diag(1 - s^2) over the steps between,
    which vanishes or explodes with their number. `bptt` gives it in numbers.

    Args:
        hidden_size: Cells of each level.
        num_layers: Levels; each reads the states of the one below.
        bidirectional: Read from both ends.
        activation: "tanh" or "relu".
        spectral_radius: Largest absolute eigenvalue of the first W; None leaves it to torch, some 0.6.
        max_iter: Epochs.
        batch_size: Sequences an update.
        optimizer: "adam", or "sgd" without momentum.
        learning_rate: The first rate; it falls along a cosine to 0.
        max_grad_norm: Longest gradient; a longer one is shortened to it. None: no limit.
        truncate: Steps before the end of a sequence through which the gradient goes back; the state is carried on from all. None: all.
        device: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of the first weights and of the orders.

    Attributes:
        classes_: The labels.
        weights_: All weights by name.
        loss_curve_: Mean loss of each epoch.
        n_iter_: Epochs.
        n_inputs_: Numbers a step.

    Example:
        >>> rising, falling = [[0, 1, 2], [1, 5], [0, 3, 4, 7]], [[2, 1], [9, 4, 1], [3, 2, 1, 0]]
        >>> net = ElmanClassifier(8, random_state=0).fit(rising + falling, ["up"] * 3 + ["down"] * 3)
        >>> net.predict([[0, 2, 3, 5], [6, 2, 1]]).tolist()
        ['up', 'down']
    """


class LSTMClassifier(SequenceClassifier, LSTMCells):
    """Long short-term memory: labels of sequences.

        c_t = f c_(t-1) + i g         h_t = o tanh(c_t)         logits = V h_T + c

    i, f, o are sigmoids and g a tanh of linear maps of x_t and h_(t-1). The gradient of c_t by c_(t-1) along the cell is f, so it
    neither vanishes nor explodes while the forget gate is open.

    Args:
        forget_bias: The first bias of the forget gates: at 1 they are 0.73 open, so that cells remember from the start. After
            Jozefowicz et al., 2015, "An empirical exploration of recurrent network architectures".

    The other settings and the attributes are those of `ElmanClassifier`, without activation and spectral_radius.

    Example:
        >>> LSTMClassifier(4, max_iter=40, random_state=0).fit([[1, 0], [1, 1, 0], [0, 0, 1], [0, 1]], [1, 1, 0, 0]).predict([[1, 0, 0]])
        array([1])
    """


class GRUClassifier(SequenceClassifier, GRUCells):
    """Gated recurrent units: labels of sequences.

        h_t = (1 - z) n + z h_(t-1)         n = tanh(W x_t + r (U h_(t-1)))         logits = V h_T + c

    z and r are sigmoids of linear maps of x_t and h_(t-1). Settings and attributes are those of `ElmanClassifier`, without activation
    and spectral_radius.

    Example:
        >>> GRUClassifier(4, max_iter=40, random_state=0).fit([[1, 0], [1, 1, 0], [0, 0, 1], [0, 1]], [1, 1, 0, 0]).predict([[1, 0, 0]])
        array([1])
    """


class ElmanRegressor(SequenceRegressor, ElmanCells):
    """Elman's network that estimates numbers from sequences. Settings are those of `ElmanClassifier`."""


class LSTMRegressor(SequenceRegressor, LSTMCells):
    """An LSTM that estimates numbers from sequences. Settings are those of `LSTMClassifier`."""


class GRURegressor(SequenceRegressor, GRUCells):
    """Gated recurrent units that estimate numbers from sequences. Settings are those of `GRUClassifier`."""
