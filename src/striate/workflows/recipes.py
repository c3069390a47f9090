"""The choices that a request leaves open: network, settings and augmentation by the data and the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.data.batches import Augmentation
from striate.data.records import DataSource
from striate.engine.settings import TrainSettings
from striate.networks.network import Network

if TYPE_CHECKING:
    from striate.workflows.train import TrainRequest

SMALL_PICTURE = 64  # pixels a side up to which a picture counts as small
MIRRORS_TO_ITSELF = ("cifar10", "cifar100", "fashion_mnist")  # named sets whose pictures may be mirrored without changing class
SETTINGS = (  # fields of a request that override a setting of the same name
    "epochs",
    "steps",
    "batch_size",
    "learning_rate",
    "optimizer",
    "momentum",
    "weight_decay",
    "schedule",
    "warmup_epochs",
    "smoothing",
    "max_grad_norm",
    "patience",
    "precision",
    "compile",
    "seed",
    "device",
)


def network_for(source: DataSource) -> str:
    """The catalogue's choice for pictures of this size: `compact_cnn` for small ones, `resnet18` for photos."""
    return "compact_cnn" if source.image_size is not None and max(source.image_size) <= SMALL_PICTURE else "resnet18"


def settings_for(network: Network, num_train: int, request: TrainRequest) -> TrainSettings:
    """The settings of a training, the request's own first.

    With normalization layers: SGD with Nesterov momentum 0.9, peak rate 0.1 a batch of 128 (scaled with the batch). Without: AdamW
    with peak rate 0.005. Both with one epoch of warm-up, then a cosine to 0.
    """
    chosen: dict[str, Any] = {name: getattr(request, name) for name in SETTINGS if getattr(request, name) is not None}
    batch_size = chosen.setdefault("batch_size", 128 if num_train >= 5_000 else 32)
    chosen.setdefault("epochs", 10 if num_train >= 20_000 else 20 if num_train >= 5_000 else 30)
    normalized = any(row.layer.role == "norm" for row in network.rows)
    chosen.setdefault("optimizer", "sgd" if normalized else "adamw")
    if chosen["optimizer"] == "sgd":
        chosen.setdefault("learning_rate", (0.1 if normalized else 0.02) * batch_size / 128)
        chosen.setdefault("weight_decay", 5e-4)
    else:
        chosen.setdefault("learning_rate", 5e-3 if network.params < 200_000 else 1e-3)
        chosen.setdefault("weight_decay", 1e-2 if chosen["optimizer"] == "adamw" else 0.0)
    try:
        return TrainSettings(**chosen)
    except ValueError as error:
        raise usage_error(error) from None


def usage_error(error: ValueError) -> UsageError:
    """A pydantic error about a setting, as an error about the flag."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return UsageError(str(error))
    first = error.errors()[0]
    return UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}, got {first['input']!r}")


def augmentation_for(source: DataSource, images: ImageSpec, request: TrainRequest) -> Augmentation:
    """Random shifts by an eighth of the picture (small grey ones: 1 pixel), and mirroring where that keeps the class."""
    shift = 1 if source.channels == 1 else max(images.height, images.width) // 8
    mirrors = source.name in MIRRORS_TO_ITSELF or source.image_size is None
    return Augmentation(
        crop_padding=shift if request.crop_padding is None else request.crop_padding,
        flip=mirrors if request.flip is None else request.flip,
    )
