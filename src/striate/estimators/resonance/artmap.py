"""ARTMAP: adaptive resonance for labelled data.

Source: Carpenter, Grossberg, Markuzon, Reynolds and Rosen, 1992, "Fuzzy ARTMAP", with match tracking.
Departs from the source: the second network, of labels, is a table from category to label, as for labels that exclude each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UsageError
from striate.estimators.numbers import validate_data
from striate.estimators.resonance.art1 import resonating
from striate.estimators.resonance.fuzzy_art import FuzzySystem

TRACKING = 1e-7  # by which the vigilance exceeds the match of a category with a wrong label


@dataclass(kw_only=True, eq=False, repr=False)
class ARTMAP(ClassifierMixin, FuzzySystem):  # type: ignore[misc]  # scikit-learn carries no types
    """Fuzzy ART whose categories carry labels.

    Where the resonating category has another label than the pattern, the vigilance rises just above its match, and the search goes on: so
    categories become as small as the labels need, and no smaller.

    Args:
        vigilance: The base line, from 0 to 1.
        choice: Small and positive.
        learning_rate: 1 is fast learning.
        max_iter: Presentations of all patterns at most; they end when no weight changed.

    Attributes:
        weights_: (categories, 2 n).
        category_labels_: (categories,) the index in classes_ of each.
        n_categories_: Categories.
        classes_: The labels.
        data_min_: (n,) of the data that was fitted first.
        data_max_: (n,).
        n_iter_: Presentations.

    Example:
        >>> ARTMAP().fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]).predict([[0, 1], [1, 1]]).tolist()
        [1, 0]
    """

    vigilance: float = 0.0
    choice: float = 1e-3
    learning_rate: float = 1.0
    max_iter: int = 10

    def fit(self, X: Any, y: Any) -> Self:
        """Learn labels y (N,) of patterns X (N, n) in their order.

        Raises:
            UsageError: a setting is out of its range.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64)
        self._begin(X, y)
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            self.n_iter_ += 1
            before = self.weights_
            self._present(X, np.searchsorted(self.classes_, y))
            if np.array_equal(before, self.weights_):
                break
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learn more patterns, each once; the first call names all `classes`, or has them all in y."""
        self._check()
        first = not hasattr(self, "weights_")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        if first:
            self._begin(X, np.asarray(y if classes is None else classes))
        unknown = np.setdiff1d(y, self.classes_).tolist()
        if unknown:
            raise UsageError(f"y holds the class {unknown[0]!r}, which is not one of {self.classes_.tolist()}")
        self._present(X, np.searchsorted(self.classes_, y))
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        return self

    def _begin(self, X: np.ndarray, y: np.ndarray) -> None:
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self._start(X)
        self.category_labels_ = np.zeros(0, np.int64)

    def _present(self, X: np.ndarray, labels: np.ndarray) -> None:
        categories, of_category = self._categories(), self.category_labels_.tolist()
        for coded, label in zip(self._coded(X), labels.tolist(), strict=True):
            choices, common = categories.activity(coded)
            winner = resonating(choices, common, X.shape[1], self.vigilance)
            while winner >= 0 and of_category[winner] != label:
                winner = resonating(choices, common, X.shape[1], float(common[winner]) / X.shape[1] + TRACKING)
            if winner < 0:
                categories.add(coded)
                of_category.append(label)
            else:
                categories.learn(winner, coded, self.learning_rate)
        self.weights_, self.n_categories_ = categories.weights.copy(), categories.count
        self.category_labels_ = np.array(of_category, np.int64)

    def predict(self, X: Any) -> np.ndarray:
        """The label of the category of the highest choice."""
        check_is_fitted(self)
        coded, categories = self._coded(validate_data(self, X, dtype=np.float64, reset=False)), self._categories()
        winners = [int(categories.activity(row)[0].argmax()) for row in coded]
        labels: np.ndarray = self.classes_[self.category_labels_[winners]]
        return labels
