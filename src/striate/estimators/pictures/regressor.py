"""A convolutional network that estimates numbers, behind scikit-learn's `fit` and `predict`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from striate.data.arrays import as_images
from striate.data.targets import as_numbers, target_spec
from striate.estimators.pictures.images import ImageEstimator


class ImageRegressor(RegressorMixin, ImageEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Train a network to estimate numbers from pictures in memory, by least squares.

    The network learns the numbers with mean 0 and deviation 1; what `predict` gives is in the units of y.

    Args: those of `ImageClassifier`; a Network has one output for each number.

    Attributes:
        n_outputs_: Numbers a picture.
        n_features_in_: Values a picture.
        model_: The trained `striate.Model`; `save(path)` writes its model file.
        history_: One record per epoch; losses are in squared deviations of y.

    Example:
        >>> import numpy as np
        >>> X = np.zeros((40, 8, 8), np.uint8); X[20:] = 255
        >>> y = np.where(np.arange(40) < 20, 1000.0, 1600.0)
        >>> reg = ImageRegressor(network="compact_cnn", epochs=8, batch_size=10).fit(X, y)
        >>> bool(reg.predict(X[[0]])[0] < 1300 < reg.predict(X[[39]])[0])
        True
    """

    _noun = "regressor"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on pictures X and numbers y (n,) or (n, k).

        X is (n, h, w) or (n, h, w, c), uint8 or floats in [0, 1]; pictures of another size than the network takes are padded or scaled.

        Raises:
            DataError: bad shapes, dtypes or ranges, or numbers that are not finite.
            UsageError: an unknown network, or a bad setting.
        """
        images = as_images(X, "X")
        numbers = as_numbers(y, len(images), "y")
        self.n_outputs_ = numbers.shape[1]
        self._is_flat = np.ndim(y) == 1
        names = ("y",) if self.n_outputs_ == 1 else tuple(f"y{k}" for k in range(self.n_outputs_))
        self._fit(images, numbers, names, "mse", target_spec("regression", numbers))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers (n,) or (n, k) of each picture, in the units and the shape of y."""
        seen = self._seen(X)
        outputs = self.model_.outputs(seen)
        return outputs[:, 0] if self._is_flat else outputs
