"""Features of pictures from a trained network, for another estimator."""

from __future__ import annotations

from os import PathLike
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UnknownNameError, UsageError
from striate.data.arrays import as_images
from striate.estimators.generative.pretraining import input_of
from striate.estimators.pictures.images import ImageEstimator
from striate.models.inputs import finite_outputs
from striate.models.loading import load
from striate.models.model import Model

AT_ONCE = 128  # pictures


class ImageFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """The penultimate layer of a network: the input of its last layer with weights.

    Args:
        source: The source of the network. A `striate.Model`, a run folder or a model file is used as it is; an estimator of pictures,
            such as `ImageClassifier`, is cloned and trained in `fit`.
        layer: The path of another layer, as the layer table names it, to take what reaches that.

    Attributes:
        model_: The `striate.Model` that is asked.
        layer_: The path of the layer.
        n_features_in_: Numbers a picture.

    Example:
        >>> from sklearn.pipeline import make_pipeline
        >>> from striate.estimators import ImageClassifier, LinearSVM
        >>> X = np.zeros((40, 8, 8), np.uint8); X[20:, :, 4:] = 255
        >>> y = np.array(["left"] * 20 + ["right"] * 20)
        >>> machine = make_pipeline(ImageFeatures(ImageClassifier(epochs=2, batch_size=10)), LinearSVM()).fit(X, y)
        >>> machine.predict(X[[0, 39]]).tolist()
        ['left', 'right']
    """

    def __init__(self, source: ImageEstimator | Model | str | PathLike[str], *, layer: str | None = None) -> None:
        self.source = source
        self.layer = layer

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the network on pictures X and labels y if the source is an estimator; else only locate the features.

        Raises:
            UsageError: the source is nothing of the kind, or the network has no such layer.
        """
        if isinstance(self.source, ImageEstimator):
            model: Model = clone(self.source).fit(X, y).model_
        elif isinstance(self.source, Model):
            model = self.source
        elif isinstance(self.source, str | PathLike):
            model = load(self.source)
        else:
            kind = type(self.source).__name__
            raise UsageError(f"source must be a Model, a run, a model file, or an estimator of pictures, got {kind}")
        paths = [row.path for row in model.network.rows]
        with_weights = [row.path for row in model.network.rows if row.cost.params]
        if self.layer is not None and self.layer not in paths:
            raise UnknownNameError("layer", self.layer, paths, "The layer table names them: print(model.network).")
        self.model_ = model
        self.layer_ = self.layer if self.layer is not None else with_weights[-1]
        images = as_images(X, "X")
        self.n_features_in_ = int(np.prod(images.shape[1:]))
        self._n_features_out = self.transform(images[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The features (n, f) float64 of pictures (n, h, w) or (n, h, w, c), fitted to the size of the network."""
        check_is_fitted(self)
        seen = self.model_.read(as_images(X, "X"))
        part = self.model_.module.get_submodule(f"network.{self.layer_}")
        found = [input_of(part, self.model_.module, seen[start : start + AT_ONCE]) for start in range(0, len(seen), AT_ONCE)]
        return finite_outputs(np.concatenate([features.flatten(1).double().cpu().numpy() for features in found]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
