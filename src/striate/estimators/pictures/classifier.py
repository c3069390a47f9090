"""A convolutional classifier behind scikit-learn's `fit` and `predict`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from striate.core.errors import DataError, DataWarning, UnknownNameError
from striate.data.arrays import as_images, as_labels, doubts_in_words
from striate.engine.settings import LossName
from striate.estimators.pictures.images import ImageEstimator

LOSSES: dict[str, LossName] = {"softmax": "cross_entropy", "svm": "squared_hinge"}  # of each head


def has_probabilities(classifier: ImageClassifier) -> bool:
    """True if its outputs are logits.

    Raises:
        AttributeError: they are not, said in the words that scikit-learn passes on.
    """
    if classifier.head == "svm":
        raise AttributeError('the head "svm" has no probabilities: use decision_function, or head="softmax"')
    return True


@dataclass(kw_only=True, eq=False, repr=False)
class ImageClassifier(ClassifierMixin, ImageEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Train a network on pictures in memory.

    Args:
        network: A name of the catalogue, or a Network with an output for each class. None chooses as `striate train` does, here as below:
            `compact_cnn` for pictures of up to 64 pixels, else `resnet18`.
        epochs: Passes over the pictures; None: 30, or fewer of 5,000 pictures and more.
        batch_size: Pictures an update; None: 32, or 128 of 5,000 pictures and more.
        learning_rate: Peak rate of the schedule; None: by the network, like the next two.
        optimizer: "sgd", "adam" or "adamw".
        weight_decay: Decay of the weights; biases and norms have none.
        crop_padding: Pixels of random shift; None: 1 for grey pictures, an eighth of the side for coloured ones.
        flip: Whether to mirror pictures at random.
        mixup: Mix each picture and its label with another's, with weights from Beta(mixup, mixup); 0 for not at all.
        cutmix: Paste a rectangle of another picture, with its area from Beta(cutmix, cutmix).
        policy: "trivial": one of 14 changes of random strength for each picture.
        erasing: Probability that a rectangle of a picture is erased.
        augmentation: More of `striate.data.augmentation.record.Augmentation`, by name: {"rotation": 10, "shift": 0.1}.
        precision: "auto", "float32" or "bfloat16".
        device: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of weights, order, augmentation and dropout.
        head: "softmax": the last layer learns by cross-entropy; "svm": by the squared hinge loss, as a support vector machine on the
            features before it, after Tang, 2013, arXiv:1306.0239v4. A machine has no probabilities.

    Attributes:
        classes_: The labels, sorted; as they came.
        n_features_in_: Numbers a picture.
        model_: The trained `striate.Model`; `save(path)` writes its model file.
        history_: One record per epoch.

    Example:
        >>> import numpy as np
        >>> X = np.zeros((40, 8, 8), np.uint8); X[20:, :, 4:] = 255
        >>> y = np.array(["left"] * 20 + ["right"] * 20)
        >>> clf = ImageClassifier(network="compact_cnn", epochs=8, batch_size=10).fit(X, y)
        >>> clf.predict(X[[0, 39]]).tolist()
        ['left', 'right']
    """

    _noun = "classifier"

    head: str = "softmax"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on pictures X and labels y (n,), whole numbers or text.

        X is (n, h, w) or (n, h, w, c), uint8 or floats in [0, 1]; pictures of another size than the network takes are padded or scaled.

        Raises:
            DataError: bad shapes, dtypes or ranges, or a single class.
            UsageError: an unknown network or head, or a bad setting.
        """
        if self.head not in LOSSES:
            raise UnknownNameError("head", str(self.head), LOSSES, f"Known: {', '.join(LOSSES)}.")
        images = as_images(X, "X")
        labels = as_labels(y, len(images), "y")
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class, {self.classes_[0]!r}; a classifier needs at least two")
        for note in doubts_in_words("y", tuple(map(str, self.classes_))):
            warnings.warn(note, DataWarning, stacklevel=2)
        self._fit(images, numbers.astype(np.int64), tuple(map(str, self.classes_)), LOSSES[self.head], None)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The outputs of the network before any softmax: (n, K), columns in the order of `classes_`; of two classes the difference (n,)."""
        scores = self.model_.outputs(self._seen(X))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    @available_if(has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """The class probabilities (n, K), columns in the order of `classes_`; of the head "softmax" alone."""
        seen = self._seen(X)
        return self.model_.probabilities(seen)

    def predict(self, X: Any) -> np.ndarray:
        """The label of the largest output for each picture."""
        seen = self._seen(X)
        labels: np.ndarray = self.classes_[self.model_.outputs(seen).argmax(1)]
        return labels
