"""Fitting a described network to sets of pictures: what the train workflow and the scikit-learn classifier share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from striate.core.devices import choose_device
from striate.core.images import ImageSpec
from striate.core.seeds import mixed, torch_seed
from striate.data.batches import Augmentation, Batches
from striate.data.records import ImageSet
from striate.engine.fit import EpochRow, FitEvent, fit
from striate.engine.settings import TrainSettings
from striate.networks.modules.image import ImageModule, ImageModuleWithHeads
from striate.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EpochRow", "FitEvent", "Fitting", "FittingRun", "fit_images"]

VAL_BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Everything that decides a training but the pictures."""

    network: Network
    images: ImageSpec
    classes: tuple[str, ...]
    settings: TrainSettings
    augmentation: Augmentation


class FittingRun(NamedTuple):
    """A training under way: consume `events`; `module` holds the weights as they are now."""

    module: ImageModule
    events: Iterator[FitEvent]

    def state(self) -> dict[str, Tensor]:
        """The weights of the described network, auxiliary heads left out."""
        if isinstance(self.module, ImageModuleWithHeads):
            return self.module.network.network.state_dict()
        return self.module.network.state_dict()


def fit_images(fitting: Fitting, train_set: ImageSet, val_set: ImageSet | None) -> FittingRun:
    """Build the network with weights from the seed, and get ready to train it."""
    settings = fitting.settings
    device = choose_device(settings.device)
    with torch_seed(mixed(settings.seed)):
        network = fitting.network.build(heads=True)
    wrapper = ImageModuleWithHeads if hasattr(network, "forward_with_heads") else ImageModule
    module = wrapper(network, fitting.images).to(device)
    train_batches = Batches(
        train_set, settings.batch_size, seed=settings.seed, shuffle=True, augmentation=fitting.augmentation, device=device
    )
    val_batches = Batches(val_set, VAL_BATCH_SIZE, device=device) if val_set is not None else None
    return FittingRun(module, fit(module, train_batches, settings, val_batches=val_batches))
