"""The weights that a training starts from where nobody says: those that are installed, for photos that are too few to learn to see from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.models.builtin import BUILTIN, WHEELS, builtin_tensors, is_builtin
from striate.models.fitting import SMALL_PICTURE

if TYPE_CHECKING:
    from striate.data.records import DataSource
    from striate.workflows.training.request import TrainRequest

AUTO, NONE = "auto", "none"  # in place of a source of weights
FEW_PHOTOS = 20_000  # training pictures from which on a network that is trained from scratch sees as well
SIDE = 288  # pixels of the input: on photos of flowers 3 points better than the 224 that the weights were trained with
SMALLEST = 96  # pixels a side of the network's input, below which the installed networks see too little


def with_chosen_weights(request: TrainRequest, asked: Any, source: DataSource, say: Callable[[str], None]) -> TrainRequest:
    """The request with a source of weights, or None for fresh ones, in place of `auto`; says so where they are the installed ones.

    Args:
        request: The request.
        asked: The network that it asks for; None leaves it open.
        source: The data.
        say: Receives a line for the user.
    """
    if request.pretrained not in (None, AUTO):
        return dataclasses.replace(request, pretrained=None) if request.pretrained == NONE else _sized(request, source)
    fresh = dataclasses.replace(request, pretrained=None)
    if not _are_few_photos(request, source) or not (asked is None or (isinstance(asked, str) and asked in WHEELS)):
        return fresh
    name = asked or next(iter(WHEELS))
    try:
        builtin_tensors(name)
    except (EnvironmentFault, RefusedFileError) as error:
        say(f"weights   from scratch, although few photos need trained ones: {error.message}; {error.remedy}")
        return fresh
    photos = f"{source.num_images('train'):,} photos"
    say(f"weights   of {name}, installed with Striate: {photos} are few to learn to see from; `pretrained='none'` starts from scratch")
    return _sized(dataclasses.replace(request, pretrained=f"{BUILTIN}:{name}" if asked is None else BUILTIN), source)


def _sized(request: TrainRequest, source: DataSource) -> TrainRequest:
    """The request with an input of `SIDE` pixels where installed weights are asked for and no size is, of pictures of several sizes."""
    sized = not is_builtin(request.pretrained) or request.image_size is not None or source.image_size is not None
    return request if sized else dataclasses.replace(request, image_size=SIDE)


def _are_few_photos(request: TrainRequest, source: DataSource) -> bool:
    """Return whether the data is coloured pictures of one class each, larger than those of CIFAR, and too few to learn to see from.

    A recipe trains from scratch, and so do first layers that are pretrained on pictures without labels.
    """
    photos = source.kind == "pictures" and source.has_classes and source.channels == 3
    large = source.image_size is None or max(source.image_size) > SMALL_PICTURE
    large = large and (request.image_size is None or request.image_size >= SMALLEST)
    scratch = request.recipe is not None or request.pretrain is not None
    return photos and large and not scratch and source.num_images("train") <= FEW_PHOTOS
