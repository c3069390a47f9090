"""A convolutional classifier behind scikit-learn's `fit` and `predict`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin

from striate.core.errors import DataError
from striate.data.arrays import as_images, as_labels
from striate.estimators.images import ImageEstimator


class ImageClassifier(ClassifierMixin, ImageEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Train a network on pictures in memory.

    Args:
        network: A name of the catalogue, or a Network with an output for each class.
        epochs: Passes over the pictures.
        batch_size: Pictures an update.
        learning_rate: Peak rate of the schedule; None leaves it to `default_settings`, like the next two.
        optimizer: "sgd", "adam" or "adamw".
        weight_decay: Decay of the weights; biases and norms have none.
        crop_padding: Pixels of random shift.
        flip: Whether to mirror pictures at random.
        mixup: Mix each picture and its label with another's, with weights from Beta(mixup, mixup); 0 for not at all.
        cutmix: Paste a rectangle of another picture, with its area from Beta(cutmix, cutmix).
        policy: "trivial": one of 14 changes of random strength for each picture.
        erasing: Probability that a rectangle of a picture is erased.
        augmentation: More of `striate.data.augmentation.record.Augmentation`, by name: {"rotation": 10, "shift": 0.1}.
        precision: "auto", "float32" or "bfloat16".
        device: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of weights, order, augmentation and dropout.

    Attributes:
        classes_: The labels, sorted; as they came.
        n_features_in_: Numbers a picture.
        model_: The trained `striate.Model`; `model_.save(path)` writes a model file.
        history_: One record an epoch.

    Example:
        >>> import numpy as np
        >>> X = np.zeros((40, 8, 8), np.uint8); X[20:, :, 4:] = 255
        >>> y = np.array(["left"] * 20 + ["right"] * 20)
        >>> clf = ImageClassifier(network="compact_cnn", epochs=8, batch_size=10).fit(X, y)
        >>> clf.predict(X[[0, 39]]).tolist()
        ['left', 'right']
    """

    _noun = "classifier"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on pictures X and labels y (n,), whole numbers or text.

        X is (n, h, w) or (n, h, w, c), uint8 or floats in [0, 1]; pictures of another size than the network takes are padded or scaled.

        Raises:
            DataError: bad shapes, dtypes or ranges, or a single class.
            UsageError: an unknown network, or a bad setting.
        """
        images = as_images(X, "X")
        labels = as_labels(y, len(images), "y")
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class, {self.classes_[0]!r}; a classifier needs at least two")
        self._fit(images, numbers.astype(np.int64), tuple(map(str, self.classes_)), "cross_entropy", None)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The class probabilities (n, K), columns in the order of `classes_`."""
        seen = self._seen(X)
        return self.model_.probabilities(seen)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each picture."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels
