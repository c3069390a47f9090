"""The restricted Boltzmann machine.

Sources: those of the machine in `contrastive.py`; the names are those of scikit-learn's BernoulliRBM, which knows binary visibles and
persistent chains only.
Departs from scikit-learn: `max_iter` for its `n_iter`; samples are shuffled in each epoch; the first visible biases give each unit its
mean; `score_samples` is the pseudo-likelihood itself, not an estimate from one unit that is drawn for each sample.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import ShapeError, UsageError
from striate.core.seeds import mixed
from striate.core.settings import check_counts, check_numbers, check_rate, check_word
from striate.estimators.generative.contrastive import (
    GAUSSIAN_SHARE,
    Contrast,
    LogPartition,
    Machine,
    estimated_log_partition,
    exact_log_partition,
    first_machine,
    no_shares,
    reconstruction_error,
    require_shares,
)
from striate.estimators.numbers import finite_answers, need_units, num_dense, real_numbers, shape_of, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import seed_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE = 0.1  # by default, of binary visibles


def _has_pseudo_likelihood(rbm: RestrictedBoltzmann) -> bool:
    """True if the visible units are binary."""
    if getattr(rbm, "visible_", rbm.visible) == "gaussian":
        raise AttributeError(
            "score_samples: the pseudo-likelihood is undefined for Gaussian visible units; free_energy gives an energy for each sample"
        )
    return True


@dataclass(eq=False, repr=False)
class RestrictedBoltzmann(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """A layer of binary hidden units that models the distribution of visible units.

        E(v, h) = -b v - c h - h W v     p(h_j = 1 | v) = sigmoid(c_j + W_j v)     p(v_i = 1 | h) = sigmoid(b_i + h W_i)
        F(v) = -b v - sum_j log(1 + e^(c_j + W_j v))     p(v) = e^-F(v) / Z     W += rate (<h v> of the data - <h v> of the machine)

    Gaussian visibles have |v - b|^2 / 2 in place of -b v, with v the data less its mean, over its deviation.

    Args:
        n_components: Hidden units.
        visible: "binary" (values from 0 to 1 are shares of being on), "gaussian" (any numbers), or "auto": as the data is.
        learning_rate: The rate; None: 0.1, or 0.001 with Gaussian visibles, whose weights grow without bounds at 0.1.
        momentum: Share of the last change of W that is added.
        weight_decay: The share of W removed in each update, over the rate.
        batch_size: Samples an update, and chains.
        max_iter: Epochs.
        n_steps: k, draws of both layers between the data and the machine's own mean.
        persistent: Chains persist from update to update (PCD, as scikit-learn has it); else they begin at the data (CD-k).
        device: "cpu", "cuda", or "auto", for learning.
        random_state: Seed of the first weights, the orders and all draws.

    Attributes:
        components_: W (hidden, visible), float32, as learning runs in it.
        intercept_hidden_: c (hidden,).
        intercept_visible_: b (visible,).
        visible_: "binary" or "gaussian".
        mean_: (visible,) what is taken from Gaussian visibles; 0 of binary ones.
        scale_: (visible,) what they are divided by then; 1 of binary ones.
        n_iter_: Epochs.
        reconstruction_errors_: The mean square of the data less its reconstruction, before and after each epoch.

    Example:
        >>> X = np.array([[1, 1, 0, 0], [0, 0, 1, 1]] * 50)
        >>> rbm = RestrictedBoltzmann(2, max_iter=100, random_state=0).fit(X)
        >>> bool(rbm.score_samples([[1, 1, 0, 0]])[0] > rbm.score_samples([[1, 0, 1, 0]])[0])
        True
    """

    n_components: int = 256
    _: KW_ONLY
    visible: str = "auto"
    learning_rate: float | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 10
    max_iter: int = 10
    n_steps: int = 1
    persistent: bool = False
    device: str = "auto"
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn X (N, n).

        Raises:
            DataError: X is not from 0 to 1 and the visibles are binary.
            UsageError: a setting is out of its range.
            NumericError: the weights left the finite numbers.
        """
        for name in ("_chains", "_velocity"):
            self.__dict__.pop(name, None)
        self._learn(validate_data(self, X, dtype=(np.float64, np.float32)), self.max_iter, start=True)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One epoch over X in its order; the first call decides the kind of the visibles, and the mean and deviation of Gaussian ones."""
        first = not hasattr(self, "components_")
        self._learn(validate_data(self, X, dtype=(np.float64, np.float32), reset=first), 1, start=first, shuffle=False)
        return self

    def plot(self, shape: tuple[int, int] | None = None) -> Figure:
        """The weights of the hidden units as pictures of `shape`, and the reconstruction error by epoch; a matplotlib figure.

        Args:
            shape: (height, width) of the visibles; None: square where they are, else one row.

        Raises:
            NotFittedError: nothing was fitted yet.
            ShapeError: the visibles do not fill the shape.
        """
        from striate.drawing.classical import filters_figure

        check_is_fitted(self)
        height, width = shape_of(self.components_.shape[1], shape)
        title = f"Restricted Boltzmann machine after {self.n_iter_:,} epochs"
        return filters_figure(self.components_.reshape(-1, height, width), self.reconstruction_errors_, title)

    def _learn(self, X: np.ndarray, epochs: int, *, start: bool, shuffle: bool = True) -> None:
        self._check_settings()
        device = choose_device(self.device)
        parameters = num_dense((X.shape[1], self.n_components))
        need_units(self, parameters, 4 * (3 * parameters + 8 * self.batch_size * self.n_components))
        if start:
            self.n_iter_, self._seed = 0, seed_of(self.random_state)
            self.reconstruction_errors_: list[float] = []
            self.visible_ = self._kind(X)
            gaussian = self.visible_ == "gaussian"
            self.mean_ = X.mean(0, dtype=np.float64) if gaussian else np.zeros(X.shape[1])
            self.scale_ = X.std(0, dtype=np.float64) if gaussian else np.ones(X.shape[1])
            self.scale_[self.scale_ == 0] = 1.0
        data = torch.from_numpy(self._inputs(X).astype(np.float32, copy=False)).to(device)
        if start:
            machine = first_machine(data, self.n_components, self._generator(0, device), gaussian=self.visible_ == "gaussian")
        else:
            machine = self._machine(np.float32, device)
        contrast = Contrast(
            learning_rate=self._rate(),
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            num_steps=self.n_steps,
        )
        if self.persistent:
            chains = getattr(self, "_chains", np.zeros((self.batch_size, self.n_components), np.float32))
            contrast.chains = torch.from_numpy(chains).to(device)
        if hasattr(self, "_velocity"):
            contrast.velocity = torch.from_numpy(self._velocity).to(device)
        if not self.reconstruction_errors_:
            self.reconstruction_errors_.append(reconstruction_error(machine, data))
        for _ in range(epochs):
            self.n_iter_ += 1
            contrast.epoch(machine, data, self._generator(self.n_iter_, device), shuffle=shuffle)
            self.reconstruction_errors_.append(reconstruction_error(machine, data))
        self.components_: np.ndarray = machine.weights.cpu().numpy()
        self.intercept_hidden_: np.ndarray = machine.hidden.cpu().numpy()
        self.intercept_visible_: np.ndarray = machine.visible.cpu().numpy()
        if contrast.chains is not None:
            self._chains: np.ndarray = contrast.chains.cpu().numpy()
        if contrast.velocity is not None:
            self._velocity: np.ndarray = contrast.velocity.cpu().numpy()

    def _check_settings(self) -> None:
        check_word(visible=self.visible, known=("auto", "binary", "gaussian"))
        check_counts(n_components=self.n_components, batch_size=self.batch_size, n_steps=self.n_steps)
        check_counts(least=0, max_iter=self.max_iter)
        if self.learning_rate is not None:
            check_rate(self.learning_rate)
        check_numbers(momentum=self.momentum, weight_decay=self.weight_decay)
        if not 0 <= self.momentum < 1 or self.weight_decay < 0:
            message = f"momentum must be from 0 to below 1 and weight_decay not negative, got {self.momentum} and {self.weight_decay}"
            raise UsageError(message)

    def _rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return RATE * (GAUSSIAN_SHARE if self.visible_ == "gaussian" else 1)

    def _kind(self, X: np.ndarray) -> str:
        """The kind of the visible units, by the setting or the data."""
        if self.visible == "binary":
            require_shares(X, fitted=False)
        return self.visible if self.visible != "auto" else "gaussian" if len(no_shares(X)) else "binary"

    def _generator(self, number: int, device: torch.device | None = None) -> torch.Generator:
        """The randomness of epoch `number`, so that a resumed training is an uninterrupted one."""
        return torch.Generator(device or "cpu").manual_seed(mixed(self._seed, number))

    def _machine(self, dtype: Any = np.float64, device: torch.device | None = None) -> Machine:
        arrays = (self.components_, self.intercept_hidden_, self.intercept_visible_)
        weights, hidden, visible = (torch.from_numpy(np.array(array, dtype)).to(device or "cpu") for array in arrays)
        return Machine(weights, hidden, visible, gaussian=self.visible_ == "gaussian")

    def _inputs(self, X: np.ndarray) -> np.ndarray:
        """X as the machine's visible units."""
        if self.visible_ == "binary":
            return X
        inputs: np.ndarray = ((X - self.mean_) / self.scale_).astype(X.dtype, copy=False)
        return inputs

    def _outputs(self, v: Tensor) -> np.ndarray:
        """The machine's visible units, in the units of the data."""
        outputs: np.ndarray = v.numpy() if self.visible_ == "binary" else v.numpy() * self.scale_ + self.mean_
        return outputs

    def _visibles(self, X: Any) -> tuple[Machine, Tensor]:
        """The machine, and X checked as it sees it, both in X's type."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        if self.visible_ == "binary":
            require_shares(X, fitted=True)
        return self._machine(X.dtype), torch.from_numpy(np.ascontiguousarray(self._inputs(X)))

    def transform(self, X: Any) -> np.ndarray:
        """p(h = 1 | v) of each row of X: (N, hidden)."""
        machine, v = self._visibles(X)
        return finite_answers(machine.hidden_means(v).numpy())

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The expected visibles for hidden states or shares X (N, hidden), as the data has them: (N, n)."""
        check_is_fitted(self)
        h = torch.from_numpy(real_numbers("X", X))
        if h.ndim != 2 or h.shape[1] != len(self.intercept_hidden_):
            raise ShapeError(f"X must be (N, {len(self.intercept_hidden_)}), hidden states or shares, got {tuple(h.shape)}")
        return self._outputs(self._machine().visible_means(h))

    def free_energy(self, X: Any) -> np.ndarray:
        """F of each row of X: (N,). log p(v) is -F less log Z."""
        machine, v = self._visibles(X)
        return finite_answers(machine.free_energy(v).numpy())

    def gibbs(self, X: Any) -> np.ndarray:
        """One draw of all hidden units from X (N, n), and one of all visibles from those: (N, n)."""
        machine, v = self._visibles(X)
        return self._outputs(machine.gibbs(v, self._drawing()))

    def sample(self, n_samples: int = 1, *, start: Any = None, n_steps: int = 1000) -> np.ndarray:
        """Visibles after `n_steps` draws of both layers, from the rows of `start` or from units apart: (n_samples, n)."""
        check_is_fitted(self)
        check_counts(least=0, n_samples=n_samples, n_steps=n_steps)
        machine, generator = self._machine(), self._drawing()
        if start is None:
            apart = Machine(torch.zeros_like(machine.weights), machine.hidden, machine.visible, machine.gaussian)
            v = apart.visible_sample(torch.zeros(n_samples, len(machine.hidden), dtype=torch.float64), generator)
        else:
            v = self._visibles(np.asarray(start, np.float64))[1]
        for _ in range(n_steps):
            v = machine.gibbs(v, generator)
        return self._outputs(v)

    def _drawing(self) -> torch.Generator:
        return torch.Generator().manual_seed(seed_of(self.random_state))

    @available_if(_has_pseudo_likelihood)  # type: ignore[untyped-decorator]  # as above
    def score_samples(self, X: Any) -> np.ndarray:
        """The pseudo-likelihood sum_i log p(v_i | the other visibles) of each row of X, in nats: (N,).

        Cost: as many free energies as there are visible units.
        """
        machine, v = self._visibles(X)
        inputs = torch.addmm(machine.hidden, v, machine.weights.t())  # (N, H)
        on, total = F.softplus(inputs).sum(1), torch.zeros(len(v), dtype=v.dtype)
        for unit in range(v.shape[1]):
            turn = 1 - 2 * v[:, unit]
            flipped = F.softplus(torch.addr(inputs, turn, machine.weights[:, unit])).sum(1)
            total -= F.softplus(flipped - on + turn * machine.visible[unit])
        return total.numpy()

    def log_partition(self, *, n_chains: int = 100, n_temperatures: int = 1000) -> LogPartition:
        """log Z and its standard error, by annealed importance sampling (`value`, `error`)."""
        check_is_fitted(self)
        check_counts(least=2, n_chains=n_chains)
        check_counts(n_temperatures=n_temperatures)
        return estimated_log_partition(self._machine(), self._drawing(), num_chains=n_chains, num_steps=n_temperatures)

    def exact_log_partition(self) -> float:
        """log Z by going through all states of the smaller layer, of 20 units at most; of the hidden one with Gaussian visibles.

        Raises:
            UsageError: that layer has more units.
        """
        check_is_fitted(self)
        return exact_log_partition(self._machine())

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)
