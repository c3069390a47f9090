"""A classifier on pictures larger than its own: its scores for each place, by its dense head as convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import ShapeError, UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.core.memory import need_memory
from striate.core.seeds import torch_seed
from striate.models.inputs import given_pictures
from striate.networks.model_file import ModelFile

if TYPE_CHECKING:
    from striate.models.model import Model
    from striate.networks.network import Network


def class_maps(model: Model, picture: Any) -> np.ndarray:
    """The logits of a classifier for each place of one picture, which keeps its own size.

    Args:
        model: Gives one class per picture, by a dense head that can become convolutions.
        picture: One, as `Model.predict` takes it, at least as large as the model's own pictures.

    Returns:
        (K, h, w) float64; of a picture of the model's own size (K, 1, 1), the same as `Model.outputs`.

    Raises:
        UsageError: the model gives no classes, or its head has no convolutional form.
        ShapeError: several pictures, or one that is smaller than the model's own.
        DataError: a file cannot be read as a picture, or has another number of channels.
        EnvironmentFault: the maps of a picture of that size do not fit into the memory.

    Cost: one forward pass over the picture.

    Source: Long, Shelhamer and Darrell, 2015, arXiv:1411.4038, section 3.1.
    """
    import torch

    from striate.networks.edits.convolutional import with_weights_of
    from striate.networks.modules.image import ImageModule

    if model.task != "classify":
        raise UsageError("maps are of classifiers of pictures", "Train one with `task='classify'`.")
    spec, network = model.images, _network_of_maps(model)
    pixels = own_pixels(picture, spec)  # (H, W, C)
    height, width = pixels.shape[:2]
    larger = network.with_input((spec.channels, height, width))
    need_memory(larger.inference_memory_bytes, f"{model.network.name} on a picture of {width} x {height}", "Make it smaller.")
    with torch_seed(0):  # replaced by what was learned
        module = ImageModule(with_weights_of(network, model.module.get_submodule("network").state_dict()), spec).to(model.device)
    with torch.inference_mode():
        logits = module(torch.from_numpy(pixels[None].copy()).to(model.device))[0]  # (K, h, w)
    return np.asarray(logits.double().cpu())


def convolutional_file(model: Model) -> ModelFile:
    """The content of the file of a classifier with its dense head as convolutions; see `Model.fully_convolutional`.

    Raises:
        UsageError: it is in that form already, or its head has none.
    """
    from striate.networks.edits.convolutional import with_weights_of

    network = model.network.fully_convolutional()
    with torch_seed(0):  # replaced by what was learned
        module = with_weights_of(network, model.module.get_submodule("network").state_dict())
    return ModelFile(network, module, model.classes, model.images, model.info)


def _network_of_maps(model: Model) -> Network:
    """The description of the model, if it has not that form already, with its head as convolutions."""
    return model.network if len(model.network.output_shape) > 1 else model.network.fully_convolutional()


def own_pixels(picture: Any, spec: InputSpec) -> np.ndarray:
    """One picture in its own size: uint8 (H, W, C) with the channels of `spec`; raises as `class_maps`."""
    from striate.data.decode import decode_image
    from striate.data.fitting import with_channels

    if not isinstance(spec, ImageSpec):
        raise UsageError(f"maps are of pictures, and the model takes {spec.kind}")
    items = given_pictures(picture, spec).items
    if len(items) != 1:
        raise ShapeError(f"one picture at a time has maps, got {len(items)}")
    decoded = np.asarray(items[0]) if isinstance(items[0], np.ndarray) else decode_image(items[0])
    pixels: np.ndarray = with_channels(decoded, spec.channels)
    height, width = pixels.shape[:2]
    if height < spec.height or width < spec.width:
        message = f"a picture of {width} x {height} is smaller than the network's own {spec.width} x {spec.height}, and has no map"
        raise ShapeError(message, "Enlarge it.")
    return pixels
