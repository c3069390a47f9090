"""The pictures that are explained: files, or some of a split."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import DataError, UsageError
from striate.core.images import Kind
from striate.data.decode import REMEDY as UNREADABLE
from striate.data.folder import readable_pictures
from striate.data.records import ImageSet
from striate.data.samples import read_samples
from striate.insight.explain import as_pictures
from striate.insight.measure.classes import most_confident_mistakes
from striate.models.model import Model
from striate.networks.layers import Parallel

if TYPE_CHECKING:
    from striate.workflows.explanation.explain import ExplainRequest

MAX_READ = 2000  # pictures of a split that the views look at


class Chosen(NamedTuple):
    """Pictures to explain."""

    names: list[str]
    images: np.ndarray  # (N, H, W, C) uint8, as the model takes them
    labels: Sequence[int | None]


def suited(request: ExplainRequest, kind: Kind, say: Callable[[str], None]) -> ExplainRequest:
    """The request as samples of a kind allow it: the rows of tables have no maps for Grad-CAM, the default.

    Raises:
        UsageError: the samples are volumes.
    """
    if kind == "volumes":
        remedy = "Other verbs, such as attack and profile, work on every kind of data."
        raise UsageError("the model takes volumes, and explain draws heat over pictures, signals and rows", remedy)
    if kind != "rows" or request.methods != ("grad_cam",):
        return request
    say("rows have no feature map for Grad-CAM: each column is hidden in turn (occlusion)")
    return dataclasses.replace(request, methods=("occlusion",))


def choose(request: ExplainRequest, model: Model, read: Callable[[], ImageSet], say: Callable[[str], None]) -> Chosen:
    """The pictures that the request names."""
    if request.pictures:
        if request.mistakes:
            raise UsageError("mistakes: known only for a split, which has labels", "Leave the pictures or `mistakes=True` out.")
        if model.images.kind != "pictures":
            return samples_of(request, model, say)
        files = readable_pictures(request.pictures, skip_unreadable=request.skip_unreadable, say=say)
        if len(files) > request.num_pictures:
            say(f"the first {request.num_pictures} of {len(files):,} pictures are explained")
        files = files[: request.num_pictures]
        try:
            return Chosen([file.name for file in files], model.read(files), [None] * len(files))
        except DataError as error:
            if error.remedy != UNREADABLE:
                raise
            raise DataError(error.message, "Repair it, or give the pictures to explain one by one.") from None
    split = read()
    if request.mistakes:
        places = most_confident_mistakes(model.shares(split.images), split.labels, request.num_pictures)
        if not len(places):
            raise DataError(f"{split.name}: the model makes no mistakes on the {split.split} split", "Leave `mistakes=True` out.")
    else:
        places = spread(len(split), request.num_pictures)
    return taken(split, places)


def samples_of(request: ExplainRequest, model: Model, say: Callable[[str], None]) -> Chosen:
    """The signals or rows of the files that the request names."""
    read = [read_samples(file, model.images) for file in request.pictures]
    names, samples = [name for some, _ in read for name in some], np.concatenate([samples for _, samples in read])
    if len(names) > request.num_pictures:
        say(f"the first {request.num_pictures} of {len(names):,} {model.images.kind} are explained")
    names = names[: request.num_pictures]
    return Chosen([Path(name).name for name in names], samples[: len(names)], [None] * len(names))


def spread(num_images: int, most: int) -> np.ndarray:
    """At most `most` places, spread over a split."""
    places: np.ndarray = np.linspace(0, num_images - 1, min(most, num_images)).round().astype(np.int64)
    return places


def taken(split: ImageSet, places: np.ndarray) -> Chosen:
    """The pictures of a split at some places."""
    some = split.take(places)
    return Chosen([Path(path).name for path in some.paths], np.asarray(some.images), [int(label) for label in some.labels])


def members_of(model: Model) -> tuple[str, ...]:
    """The paths of the members, if the model is an ensemble."""
    (name, first), *others = model.network.root.children
    if others or not isinstance(first, Parallel) or first.merge != "mixture":
        return ()
    return tuple(f"{name}.{member}" for member, _ in first.branches)


def sampled(model: Model, read: Callable[[], ImageSet]) -> Callable[[], tuple[ImageSet, Tensor]]:
    """A function that reads at most `MAX_READ` pictures of the split, spread over it, once; gives them and what the network takes."""

    @functools.cache
    def sample() -> tuple[ImageSet, Tensor]:
        split = read()
        some = split.take(spread(len(split), MAX_READ))
        return some, as_inputs(model, some.images)

    return sample


def as_inputs(model: Model, images: np.ndarray) -> Tensor:
    """Images (N, H, W, C) uint8 as the network takes them: (N, C, H, W) float; signals and rows as `as_pictures` has them."""
    inputs: Tensor = model.module.normalized(torch.from_numpy(np.array(images)).to(model.device))  # type: ignore[operator]
    return as_pictures(inputs, model.images.kind).contiguous()


def of_unit(model: Model, pictures: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 1] as the network takes them, with gradients."""
    inputs: Tensor = model.module.normalized(255 * pictures.permute(0, 2, 3, 1))  # type: ignore[operator]
    return inputs
