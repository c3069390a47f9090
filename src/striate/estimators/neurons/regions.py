"""The decision regions of classifiers of two features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import ShapeError
from striate.estimators.numbers import validate_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Regions:
    """Mixin of classifiers: draws what they answer over the plane."""

    def plot(self, X: Any, y: Any) -> Figure:
        """The class that is predicted at each point of the plane, with samples X (N, 2) and their labels y (N,); a matplotlib figure.

        Raises:
            NotFittedError: nothing was fitted yet.
            ShapeError: the classifier has not two features.
            UsageError: y does not fit X.
        """
        from striate.drawing.classical import labels_for, regions_figure

        check_is_fitted(self)
        classifier: Any = self
        if classifier.n_features_in_ != 2:
            raise ShapeError(
                f"plot draws a plane: it needs 2 features, got {classifier.n_features_in_}", "Fit two of them, or two components."
            )
        points = validate_data(self, X, dtype=np.float64, reset=False)
        labels = labels_for(points, y)
        right = f"{100 * classifier.score(points, labels):.1f} % of {len(points):,} samples are right"
        title = f"{type(self).__name__}: {right}"
        return regions_figure(classifier.predict, points, np.asarray(labels), classifier.classes_, title)
