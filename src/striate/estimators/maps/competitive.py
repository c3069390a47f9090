"""Competitive learning: only the neuron nearest to an input learns.

Source: Rumelhart and Zipser, 1985, "Feature discovery by competitive learning", in the form with distances.
Departs from the source: the first weights are samples far from each other (Arthur and Vassilvitskii, 2007), so that no neuron is dead.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UsageError
from striate.core.settings import check_counts, check_numbers
from striate.estimators.numbers import finite_answers, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of


@dataclass(eq=False, repr=False)
class CompetitiveLearning(Saved, ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Winner takes all: each input pulls the nearest neuron towards it.

        c = argmin_i |x - w_i|         w_c += rate (x - w_c)

    Args:
        n_clusters: Neurons.
        learning_rate: The first rate; it falls linearly to 0 over all epochs.
        max_iter: Epochs.
        random_state: Seed of the first weights and of the orders.

    Attributes:
        cluster_centers_: The weights (n_clusters, n).
        labels_: The winner of each sample.
        n_iter_: Epochs.

    Example:
        >>> sorted(CompetitiveLearning(2, random_state=0).fit([[0.0], [0.1], [9.0], [9.1]]).cluster_centers_.round().ravel().tolist())
        [0.0, 9.0]
    """

    n_clusters: int = 3
    _: KW_ONLY
    learning_rate: float = 0.3
    max_iter: int = 20
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from X (N, n) in max_iter epochs.

        Raises:
            UsageError: a setting is out of its range.
        """
        X = validate_data(self, X, dtype=np.float64)
        generator = random_state_of(self.random_state)
        self._start(X, generator)
        total = self.max_iter * len(X)
        for epoch in range(self.max_iter):
            self._epoch(X, generator.permutation(len(X)), self.learning_rate * (1 - (epoch * len(X) + np.arange(len(X))) / total))
        self.n_iter_ = self.max_iter
        self.labels_ = pairwise_distances_argmin(X, self.cluster_centers_)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One epoch over X in its order, at the first rate; the first call has at least n_clusters rows."""
        first = not hasattr(self, "cluster_centers_")
        X = validate_data(self, X, dtype=np.float64, reset=first)
        if first:
            self._start(X, random_state_of(self.random_state))
            self.n_iter_ = 0
        self._epoch(X, np.arange(len(X)), np.full(len(X), self.learning_rate))
        self.n_iter_ += 1
        self.labels_ = pairwise_distances_argmin(X, self.cluster_centers_)
        return self

    def _start(self, X: np.ndarray, generator: np.random.RandomState) -> None:
        check_counts(n_clusters=self.n_clusters, max_iter=self.max_iter)
        check_numbers(learning_rate=self.learning_rate)
        if self.n_clusters > len(X):
            raise UsageError(f"n_clusters must be from 1 to the number of samples, got n_clusters={self.n_clusters} for n_samples={len(X)}")
        if not 0 < self.learning_rate <= 1:
            raise UsageError(f"learning_rate must be above 0 and at most 1, got {self.learning_rate}")
        self.cluster_centers_ = kmeans_plusplus(X, self.n_clusters, random_state=generator)[0].copy()

    def _epoch(self, X: np.ndarray, order: np.ndarray, rates: np.ndarray) -> None:
        centres = self.cluster_centers_
        for index, rate in zip(order, rates, strict=True):
            away = X[index] - centres  # (n_clusters, n)
            winner = np.einsum("kn,kn->k", away, away).argmin()
            centres[winner] += rate * away[winner]

    def predict(self, X: Any) -> np.ndarray:
        """The winner of each row."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        finite_answers(np.square(X).sum(1))  # of a distance that is infinite to all of them, the first would win
        winners: np.ndarray = pairwise_distances_argmin(X, self.cluster_centers_)
        return winners
