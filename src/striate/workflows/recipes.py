"""The choices that a request leaves open: network, settings and augmentation by the data and the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from striate.core.errors import UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.data.batches import Augmentation
from striate.data.masks import MaskSource
from striate.data.records import DataSource
from striate.engine.settings import TrainSettings
from striate.estimators.fitting import default_settings
from striate.networks.network import Network

if TYPE_CHECKING:
    from striate.workflows.train import TrainRequest

SMALL_PICTURE = 64  # pixels a side up to which a picture counts as small
MIRRORS_TO_ITSELF = ("cifar10", "cifar100", "fashion_mnist")  # named sets whose pictures may be mirrored without changing class
GROUPS = ("settings", "augmentation")  # of --set
Record = TypeVar("Record")
SETTINGS = [field.name for field in dataclasses.fields(TrainSettings)]


def network_for(source: DataSource) -> str:
    """The catalogue's choice for pictures of this size: `compact_cnn` for small ones, `resnet18` for photos, `unet` with masks."""
    if isinstance(source, MaskSource):
        return "unet"
    return "compact_cnn" if source.image_size is not None and max(source.image_size) <= SMALL_PICTURE else "resnet18"


def settings_for(network: Network, num_train: int, request: TrainRequest) -> TrainSettings:
    """The settings of a training: what the request says, then its `--set settings.*`, then the defaults of the network.

    Raises:
        UsageError: a value is out of range, or no setting has the name.
    """
    named = {name: getattr(request, name, None) for name in SETTINGS}
    chosen = {name: value for name, value in named.items() if value is not None}
    return with_checked_fields(default_settings, network, num_train, **{**chosen, **overrides(request, "settings", SETTINGS)})


def overrides(request: TrainRequest, group: str, known: Sequence[str]) -> dict[str, Any]:
    """The values of `--set GROUP.NAME=VALUE`.

    Raises:
        UnknownNameError: another group, or no such name in it; gives the nearest.
    """
    found = {}
    for key, value in request.set.items():
        head, _, name = key.partition(".")
        if head not in GROUPS:
            raise UnknownNameError("group of --set", head, GROUPS, f"The groups are {' and '.join(GROUPS)}.")
        if head == group:
            if name not in known:
                raise UnknownNameError(f"name in --set {group}", name, known, f"Known: {', '.join(known)}.")
            found[name] = value
    return found


def with_checked_fields(make: Callable[..., Record], *arguments: Any, **fields: Any) -> Record:
    """What `make` gives, with pydantic's complaint about a field as one of ours."""
    try:
        return make(*arguments, **fields)
    except ValidationError as error:
        raise usage_error(error) from None


def usage_error(error: ValidationError) -> UsageError:
    """A pydantic error about a field, as an error about the flag."""
    first = error.errors()[0]
    return UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}, got {first['input']!r}")


def augmentation_for(source: DataSource, images: ImageSpec, request: TrainRequest) -> Augmentation:
    """Random shifts by an eighth of the picture (small grey ones: 1 pixel), and mirroring where that keeps the class."""
    shift = 1 if source.channels == 1 else max(images.height, images.width) // 8
    mirrors = source.name in MIRRORS_TO_ITSELF or source.image_size is None or isinstance(source, MaskSource)
    chosen = {
        "crop_padding": shift if request.crop_padding is None else request.crop_padding,
        "flip": mirrors if request.flip is None else request.flip,
    }
    known = [field.name for field in dataclasses.fields(Augmentation)]
    return with_checked_fields(Augmentation, **{**chosen, **overrides(request, "augmentation", known)})
