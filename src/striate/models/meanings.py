"""The meaning of a trained network's outputs, one record per task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.targets import Task
from striate.models.estimates import Estimates, sigmoid
from striate.models.restorer import Restorations, restore_pictures
from striate.models.segmenter import PIXELS_AT_ONCE, Segmentations, segment_pictures

if TYPE_CHECKING:
    from torch import nn

    from striate.models.model import Model, Predictions
    from striate.networks.model_file import ModelFile


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """The meaning of a network's outputs.

    Attributes:
        noun: What the outputs are called.
        predict: The predictions for pictures, by the model, the pictures, `top` and `batch_size`.
        shares: The probabilities (N, K) of logits (N, K) at a temperature; None: the outputs have none.
        module: The network behind its normalization, with outputs in the user's units.
        instead: What the model does in place of giving one class per picture; empty: it gives one.
    """

    noun: str = "classes"
    predict: Callable[[Model, Any, int, int], Predictions | Estimates | Segmentations | Restorations]
    shares: Callable[[np.ndarray, float], np.ndarray] | None
    module: Callable[[ModelFile], nn.Module]
    instead: str = ""


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The class probabilities (N, K) of logits (N, K) divided by `temperature`."""
    exponentials = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    shares: np.ndarray = exponentials / exponentials.sum(1, keepdims=True)
    return shares


def _plain(file: ModelFile) -> nn.Module:
    from striate.networks.modules.image import ImageModule

    return ImageModule(file.module, file.images)


def _of_classes(file: ModelFile) -> nn.Module:
    """The mean over all places, where a fully convolutional network gives the classes of each."""
    from striate.networks.layers import Chain, GlobalPool
    from striate.networks.modules.image import ImageModule

    network = file.network
    if len(network.output_shape) == 1:
        return ImageModule(file.module, file.images)
    averaged = dataclasses.replace(network, root=Chain(**dict(network.root.children), places=GlobalPool("avg"))).build()
    averaged.load_state_dict(file.module.state_dict())
    return ImageModule(averaged, file.images)


def _of_numbers(file: ModelFile) -> nn.Module:
    from striate.networks.modules.image import ImageModuleOfNumbers

    if file.targets is None:
        raise RuntimeError("numbers without their mean and deviation")
    return ImageModuleOfNumbers(file.module, file.images, file.targets)


def _estimates(model: Model, pictures: Any, _: int, batch_size: int) -> Estimates:
    return model.estimate(pictures, batch_size=batch_size)


MEANINGS: dict[Task, Meaning] = {
    "classify": Meaning(
        predict=lambda model, pictures, top, batch_size: model.classify(pictures, top=top, batch_size=batch_size),
        shares=softmax,
        module=_of_classes,
    ),
    "multilabel": Meaning(
        noun="labels",
        predict=_estimates,
        shares=lambda logits, _: sigmoid(logits),
        module=_plain,
        instead="was trained for multilabel, and does not give a single class",
    ),
    "regression": Meaning(
        noun="numbers",
        predict=_estimates,
        shares=None,
        module=_of_numbers,
        instead="was trained for regression, and does not give a single class",
    ),
    "segment": Meaning(
        predict=lambda model, pictures, _, batch_size: segment_pictures(model, pictures, batch_size=min(batch_size, PIXELS_AT_ONCE)),
        shares=softmax,
        module=_plain,
        instead="gives a class to each pixel, not one per picture",
    ),
    "restore": Meaning(
        noun="channels",
        predict=lambda model, pictures, _, batch_size: restore_pictures(model, pictures, batch_size=batch_size),
        shares=None,
        module=_plain,
        instead="gives a picture, not a class",
    ),
}
