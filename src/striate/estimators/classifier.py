"""A convolutional classifier behind scikit-learn's `fit` and `predict`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import DataError, ShapeError
from striate.core.images import ImageSpec
from striate.data.arrays import as_images, as_labels
from striate.data.batches import Augmentation
from striate.data.decode import fit_image
from striate.data.records import ImageSet
from striate.engine.settings import TrainSettings
from striate.estimators.fitting import Fitting, channel_statistics, default_settings, fit_images
from striate.estimators.model import Model
from striate.networks.catalog import network as catalog_network
from striate.networks.model_file import ModelFile
from striate.networks.network import Network


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
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

    def __init__(
        self,
        network: str | Network = "compact_cnn",
        *,
        epochs: int = 10,
        batch_size: int = 128,
        learning_rate: float | None = None,
        optimizer: str | None = None,
        weight_decay: float | None = None,
        crop_padding: int = 0,
        flip: bool = False,
        precision: str = "auto",
        device: str = "auto",
        random_state: int | None = 0,
    ) -> None:
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.crop_padding = crop_padding
        self.flip = flip
        self.precision = precision
        self.device = device
        self.random_state = random_state

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
        network = self._described(images)
        spec = self._spec(network, images)
        fitted = np.stack([fit_image(image, spec) for image in images])
        names = tuple(map(str, self.classes_))
        paths = tuple(map(str, range(len(images))))
        fitting = Fitting(
            network=network,
            images=spec,
            classes=names,
            settings=self._settings(network, len(images)),
            augmentation=Augmentation(crop_padding=self.crop_padding, flip=self.flip),
        )
        training = fit_images(fitting, ImageSet("arrays", "train", fitted, numbers.astype(np.int64), names, paths), None)
        self.history_ = [event.row._asdict() for event in training.events if event.row is not None]
        self.n_features_in_ = int(np.prod(images.shape[1:]))
        self._shape = images.shape[1:]
        module = network.build().eval()
        module.load_state_dict(training.state())
        self.model_ = Model(ModelFile(network, module, names, spec, {"data": "arrays", "epochs": len(self.history_)}))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The class probabilities (n, K), columns in the order of `classes_`."""
        check_is_fitted(self)
        images = as_images(X, "X")
        if images.shape[1:] != self._shape:
            raise ShapeError(f"X has pictures of shape {images.shape[1:]}, the classifier was fitted to {self._shape}")
        return self.model_.probabilities(self.model_.read(images))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each picture."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def _described(self, images: np.ndarray) -> Network:
        height, width, channels = images.shape[1:]
        if isinstance(self.network, Network):
            return self.network
        native = catalog_network(self.network)
        size = (height, width) if native.fits((channels, height, width)) else None
        return catalog_network(self.network, num_classes=len(self.classes_), in_channels=channels, input_size=size)

    def _spec(self, network: Network, images: np.ndarray) -> ImageSpec:
        channels, height, width = network.input_shape
        mean, std = channel_statistics(images)
        if len(mean) == 1:  # a grey picture is repeated over the network's channels
            mean, std = mean * channels, std * channels
        return ImageSpec(height=height, width=width, channels=channels, mean=mean, std=std, fit="pad")

    def _settings(self, network: Network, num_train: int) -> TrainSettings:
        seed = int(np.random.default_rng().integers(2**31)) if self.random_state is None else self.random_state
        chosen = {"optimizer": self.optimizer, "learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        return default_settings(
            network,
            num_train,
            epochs=self.epochs,
            batch_size=self.batch_size,
            precision=self.precision,
            device=self.device,
            seed=seed,
            **{name: value for name, value in chosen.items() if value is not None},
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
