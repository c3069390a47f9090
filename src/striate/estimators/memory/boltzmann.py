"""The Boltzmann machine: any unit may be connected to any other, with hidden units beside the visible ones.

Source: Ackley, Hinton and Sejnowski, 1985, "A learning algorithm for Boltzmann machines".
Departs from the source: by default weights change in proportion to the difference of the two phases, with momentum, decay keeps them
finite, and small machines go through all states instead of drawing; the source has steps of equal size, draws, and turns some clamped
units at random (`rule="steps"`, `momentum=0`, `phases="gibbs"`, `noise=(0.15, 0.05)`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy.special import expit, logsumexp, softmax
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import DataError, NumericError, ShapeError, UsageError
from striate.core.settings import check_counts, check_numbers, check_word, is_number, is_whole
from striate.core.text import counted
from striate.estimators.numbers import need_units, real_numbers
from striate.estimators.persistence import Saved
from striate.estimators.randomness import seed_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_ENUMERATED = 16  # units whose states are all gone through
ENUMERATED = 10  # likewise, in learning, by default
RATES = {"exact": 1.0, "gibbs": 0.3}  # by default
LEAST_HIDDEN = 4


class Means(NamedTuple):
    """The statistics of a phase: how often two units are on together, and how often each is."""

    pairs: np.ndarray  # (n, n)
    units: np.ndarray  # (n,)


@dataclass(eq=False, repr=False)
class BoltzmannMachine(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Symmetrically connected units of 0 and 1 that learn the probability of each pattern; the first units are visible, the others hidden.

        E(s) = -sum_i<j w_ij s_i s_j - sum_i b_i s_i     P(s) = e^(-E(s) / T) / Z     p(s_i = 1 | others) = sigmoid((b_i + w_i s) / T)
        change = rate (<s_i s_j> with the data clamped - <s_i s_j> free) + momentum * last change         w_ij += change

    Without hidden units it learns which pairs go together, and nothing of three: of XOR, each pair alone is chance.

    Args:
        n_hidden: Hidden units; None: as many as visible ones, but at least 4.
        learning_rate: The rate; None: 1 for exact phases, 0.3 for drawn ones.
        momentum: Share of the last change that is added.
        weight_decay: The share of a weight removed in each update, over the rate.
        max_iter: Updates.
        rule: "gradient", or "steps": each weight by the rate, up or down.
        noise: Shares of clamped units that are flipped from on to off, and from off to on, anew in each update.
        phases: "gibbs": drawn; "exact": over all states, of 16 units at most; "auto": exact for up to 10 units.
        n_chains: Of the free phase, and at least so many of the clamped one.
        schedule: (temperature, sweeps) of the annealing before each phase, which runs at the last temperature.
        n_sweeps: Sweeps that a phase averages over.
        connections: (n, n) bool, symmetric: which units are joined; None: all.
        random_state: Seed of the first weights and of all draws.

    Attributes:
        weights_: w (n, n), symmetric, diagonal 0.
        intercept_: b (n,).
        n_features_in_: Visible units.
        n_iter_: Updates.

    Example:
        >>> machine = BoltzmannMachine(random_state=0).fit([[0, 0], [1, 1], [1, 1], [1, 1]])
        >>> np.exp(machine.score_samples([[0, 0], [1, 1]])).round(1).tolist()
        [0.2, 0.7]
    """

    n_features_in_: int = field(init=False)
    n_hidden: int | None = None
    _: KW_ONLY
    learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-4
    max_iter: int = 300
    rule: str = "gradient"
    noise: tuple[float, float] = (0.0, 0.0)
    phases: str = "auto"
    n_chains: int = 100
    schedule: Sequence[tuple[float, int]] = ((4.0, 2), (2.0, 2), (1.0, 4))
    n_sweeps: int = 5
    connections: Any = None
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the patterns X (N, visible) of 0 and 1.

        Raises:
            DataError: X holds other numbers.
            UsageError: a setting is out of its range, or there are too many units for "exact".
            NumericError: the weights left the finite numbers.
        """
        self.__dict__.pop("weights_", None)
        return self._learn(X, self.max_iter)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One update on the patterns X."""
        return self._learn(X, 1)

    def plot(self) -> Figure:
        """The weights between all units, visible ones first, and on the diagonal the biases; a matplotlib figure.

        Raises:
            NotFittedError: nothing was fitted yet.
        """
        from striate.drawing.classical import couplings_figure

        check_is_fitted(self)
        title = f"Boltzmann machine after {counted(self.n_iter_, 'update')}"
        return couplings_figure(self.weights_, self.intercept_, self.n_features_in_, title)

    def _learn(self, X: Any, num_updates: int) -> Self:
        first = not hasattr(self, "weights_")
        patterns = binary("X", X, None if first else self.n_features_in_)
        num_hidden = max(LEAST_HIDDEN, patterns.shape[1]) if self.n_hidden is None else self.n_hidden
        check_counts(least=0, n_hidden=num_hidden, max_iter=self.max_iter)
        self._check_settings(patterns.shape[1] + num_hidden)
        if first:
            self.n_features_in_, self.n_iter_ = patterns.shape[1], 0
            self._seed = seed_of(self.random_state)
            self._start(self.n_features_in_ + num_hidden)
        rate = self._rate()
        for _ in range(num_updates):
            self.n_iter_ += 1
            generator = np.random.default_rng((self._seed, self.n_iter_))
            clamped, free = self.clamped_means(self._disturbed(patterns, generator), generator), self.free_means(generator)
            change, of_units = (clamped.pairs - free.pairs) * self._joined, clamped.units - free.units
            if self.rule == "steps":
                change, of_units = np.sign(change.round(9)), np.sign(of_units.round(9))
            change -= self.weight_decay * self.weights_
            with np.errstate(over="ignore", invalid="ignore"):  # said below
                self._last[0] = self.momentum * self._last[0] + rate * change
                self._last[1] = self.momentum * self._last[1] + rate * of_units
                self.weights_ += self._last[0]
                self.intercept_ += self._last[1]
            if not np.isfinite(self.weights_).all():
                raise NumericError(f"the weights are not finite after update {self.n_iter_}", f"Lower learning_rate, which is {rate:g}.")
        return self

    def _rate(self) -> float:
        return RATES["exact" if self._is_exact() else "gibbs"] if self.learning_rate is None else self.learning_rate

    def _is_exact(self) -> bool:
        return self.phases == "exact" or (self.phases == "auto" and len(self.intercept_) <= ENUMERATED)

    def _disturbed(self, patterns: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The patterns, at least as often as there are chains, with some units flipped, if there is noise."""
        if not any(self.noise):
            return patterns
        many = np.tile(patterns, (-(-self.n_chains // len(patterns)), 1))
        turned = generator.random(many.shape) < np.where(many > 0, *self.noise)
        disturbed: np.ndarray = np.abs(many - turned)
        return disturbed

    def _check_settings(self, num_units: int) -> None:
        check_word(rule=self.rule, known=("gradient", "steps"))
        noise = tuple(self.noise) if isinstance(self.noise, Sequence | np.ndarray) else ()
        if len(noise) != 2 or not all(is_number(share) and 0 <= share < 1 for share in noise):
            raise UsageError(f"noise must be two shares from 0 to below 1, got {self.noise}")
        check_word(phases=self.phases, known=("auto", "gibbs", "exact"))
        if self.phases == "exact" and num_units > MAX_ENUMERATED:
            raise UsageError(f"phases='exact' takes {MAX_ENUMERATED} units at most, got {num_units}", "Take phases='gibbs'.")
        check_counts(n_chains=self.n_chains, n_sweeps=self.n_sweeps)
        rate = RATES["gibbs"] if self.learning_rate is None else self.learning_rate
        check_numbers(learning_rate=rate, weight_decay=self.weight_decay, momentum=self.momentum)
        if rate <= 0 or self.weight_decay < 0 or not 0 <= self.momentum < 1:
            wanted = "learning_rate must be positive, weight_decay not negative, momentum from 0 to below 1"
            raise UsageError(f"{wanted}, got {rate}, {self.weight_decay} and {self.momentum}")
        check_schedule(self.schedule)

    def _start(self, num_units: int) -> None:
        """Random weights where units are joined: smaller ones leave hidden units that are alike, which takes long to undo."""
        need_units(self, num_units**2, 8 * 6 * num_units**2)
        joined = np.ones((num_units, num_units), bool) if self.connections is None else np.asarray(self.connections)
        if joined.shape != (num_units, num_units) or joined.dtype != bool or not np.array_equal(joined, joined.T):
            message = f"connections must be a symmetric bool array ({num_units}, {num_units}), got {joined.dtype} {joined.shape}"
            raise UsageError(message, "One row for each unit, visible ones first.")
        self._joined: np.ndarray = joined & ~np.eye(num_units, dtype=bool)
        upper = np.triu(np.random.default_rng(self._seed).normal(0, num_units**-0.5, (num_units, num_units)), 1) * self._joined
        self.weights_: np.ndarray = upper + upper.T
        self.intercept_: np.ndarray = np.zeros(num_units)
        self._last = [np.zeros_like(self.weights_), np.zeros_like(self.intercept_)]

    # ---- the two phases

    def clamped_means(self, patterns: np.ndarray, generator: np.random.Generator) -> Means:
        """Means with the visible units held at `patterns` (N, visible)."""
        num_hidden = len(self.intercept_) - self.n_features_in_
        if not num_hidden:
            return Means(patterns.T @ patterns / len(patterns), patterns.mean(0))
        if self._is_exact():
            return means_of(*self._exact_hidden(patterns))
        times = -(-self.n_chains // len(patterns))
        held = np.tile(patterns, (times, 1))
        states = np.hstack([held, generator.integers(0, 2, (len(held), num_hidden))])
        return self._averaged(states, np.arange(self.n_features_in_, states.shape[1]), generator)

    def free_means(self, generator: np.random.Generator) -> Means:
        """Means with no unit held."""
        num_units = len(self.intercept_)
        if self._is_exact():
            states = all_states(num_units)
            return means_of(states, softmax(-self._energies(states)))
        states = generator.integers(0, 2, (self.n_chains, num_units)).astype(float)
        return self._averaged(states, np.arange(num_units), generator)

    def _averaged(self, states: np.ndarray, moving: np.ndarray, generator: np.random.Generator) -> Means:
        """Anneal the `moving` units, then average over sweeps."""
        for temperature, count in self.schedule:
            for _ in range(count):
                self._sweep(states, moving, temperature, generator)
        pairs = np.zeros_like(self.weights_)
        units = np.zeros_like(self.intercept_)
        for _ in range(self.n_sweeps):
            self._sweep(states, moving, self.schedule[-1][0] if len(self.schedule) else 1.0, generator)
            pairs += states.T @ states
            units += states.sum(0)
        count = self.n_sweeps * len(states)
        return Means(pairs / count, units / count)

    def _sweep(self, states: np.ndarray, moving: np.ndarray, temperature: float, generator: np.random.Generator) -> None:
        """Draw each of the `moving` units once, in all chains `states` (chains, n), in place."""
        noise = generator.random((len(moving), len(states)))
        for unit, chances in zip(moving, noise, strict=True):
            fields = states @ self.weights_[unit] + self.intercept_[unit]
            states[:, unit] = chances < expit(fields / temperature)

    def _exact_hidden(self, patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All states with the visible units at `patterns`, and the share of each."""
        hidden = all_states(len(self.intercept_) - self.n_features_in_)
        rows, counts = np.unique(patterns, axis=0, return_counts=True)
        states = np.hstack([np.repeat(rows, len(hidden), 0), np.tile(hidden, (len(rows), 1))])
        shares = softmax(-self._energies(states).reshape(len(rows), len(hidden)), axis=1) * (counts / counts.sum())[:, None]
        return states, shares.ravel()

    # ---- what was learned

    def energy(self, states: Any) -> np.ndarray:
        """E of each row of `states` (N, visible and hidden units): (N,)."""
        check_is_fitted(self)
        return self._energies(binary("states", states, len(self.intercept_)))

    def _energies(self, states: np.ndarray) -> np.ndarray:
        energies: np.ndarray = -np.einsum("ni,ni->n", states @ self.weights_, states) / 2 - states @ self.intercept_
        return energies

    def score_samples(self, X: Any) -> np.ndarray:
        """log P(v) of each row of X, in nats, exactly: (N,).

        Raises:
            UsageError: there are more than 16 units.
        """
        check_is_fitted(self)
        patterns = binary("X", X, self.n_features_in_)
        if len(self.intercept_) > MAX_ENUMERATED:
            message = f"log P goes through all states: {MAX_ENUMERATED} units at most, got {len(self.intercept_)}"
            raise UsageError(message, "Sample instead: sample().")
        log_z = logsumexp(-self.energy(all_states(len(self.intercept_))))
        hidden = all_states(len(self.intercept_) - self.n_features_in_)
        log_p = [logsumexp(-self.energy(np.hstack([np.tile(row, (len(hidden), 1)), hidden]))) for row in patterns]
        scores: np.ndarray = np.array(log_p) - log_z
        return scores

    def sample(self, n_samples: int = 1, *, n_sweeps: int = 100, schedule: Any = None, hidden: bool = False) -> np.ndarray:
        """States of the visible units, of all with `hidden`, each of a chain of its own: int64 (n_samples, units).

        Args:
            n_samples: The number of samples.
            n_sweeps: Draws of every unit at temperature 1.
            schedule: (temperature, sweeps) in place of `n_sweeps`.
            hidden: Give the hidden units too.
        """
        check_is_fitted(self)
        check_counts(least=0, n_samples=n_samples)
        num_units = len(self.intercept_)
        generator = self._drawing()
        states = generator.integers(0, 2, (n_samples, num_units)).astype(float)
        self._run(states, np.arange(num_units), ((1.0, n_sweeps),) if schedule is None else schedule, generator)
        return states[:, : num_units if hidden else self.n_features_in_].astype(np.int64)

    def complete(self, X: Any, *, schedule: Any = None) -> np.ndarray:
        """X (N, visible) with a draw in place of each NaN, given the other visible units of its row: int64 (N, visible)."""
        check_is_fitted(self)
        known = real_numbers("X", X)
        if known.ndim != 2 or known.shape[1] != self.n_features_in_:
            raise ShapeError(f"X must be (patterns, {self.n_features_in_}), got {known.shape}")
        binary("X", np.where(np.isnan(known), 0, known), self.n_features_in_)
        generator = self._drawing()
        completed = []
        for row in known:  # each has other units that move
            states = generator.integers(0, 2, (1, len(self.intercept_))).astype(float)
            held = ~np.isnan(row)
            states[0, : len(row)][held] = row[held]
            moving = np.concatenate([np.flatnonzero(~held), np.arange(len(row), states.shape[1])])
            self._run(states, moving, (*self.schedule, (1.0, 20)) if schedule is None else schedule, generator)
            completed.append(states[0, : len(row)])
        return np.array(completed).astype(np.int64)

    def _run(self, states: np.ndarray, moving: np.ndarray, schedule: Any, generator: np.random.Generator) -> None:
        check_schedule(schedule)
        for temperature, count in schedule:
            for _ in range(count):
                self._sweep(states, moving, temperature, generator)

    def _drawing(self) -> np.random.Generator:
        return np.random.default_rng(seed_of(self.random_state))


def means_of(states: np.ndarray, shares: np.ndarray) -> Means:
    """Means over states (N, n) of which each has a share."""
    weighted = states * shares[:, None]
    return Means(states.T @ weighted, weighted.sum(0))


def all_states(num_units: int) -> np.ndarray:
    """(2^n, n) of 0.0 and 1.0."""
    bits: np.ndarray = (np.arange(2**num_units)[:, None] >> np.arange(num_units)) & 1
    return bits.astype(float)


def check_schedule(schedule: Any) -> None:
    """Refuse what is not (temperature, sweeps) pairs.

    Raises:
        UsageError: there are no such pairs, a temperature is not positive or a count negative.
    """
    steps = [tuple(step) if isinstance(step, Sequence | np.ndarray) else () for step in schedule] if np.iterable(schedule) else [()]
    if any(len(step) != 2 or not is_number(step[0]) or not is_whole(step[1]) or step[0] <= 0 or step[1] < 0 for step in steps):
        raise UsageError(f"schedule must be (temperature, sweeps) with positive temperatures, got {schedule}")


def binary(name: str, X: Any, width: int | None) -> np.ndarray:
    """X as 0.0 and 1.0 (N, n), checked."""
    array = real_numbers(name, X)
    if array.ndim != 2 or len(array) == 0 or array.shape[1] == 0 or (width is not None and array.shape[1] != width):
        raise ShapeError(f"{name} must be (patterns, {'units' if width is None else width}), got {array.shape}")
    odd = array[(array != 0) & (array != 1)]
    if len(odd):
        raise DataError(f"{name} must hold 0 and 1 only, got {odd[0]:g}", "Make it binary first: X > threshold.")
    return array
