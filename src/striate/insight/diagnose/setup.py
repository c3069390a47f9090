"""The set-up of a training, as far as the diagnosis needs it: settings, augmentation, and a few facts of the network."""

from __future__ import annotations

from typing import NamedTuple

from striate.core.images import KINDS, Kind
from striate.data.augmentation.record import Augmentation
from striate.engine.settings import TrainSettings
from striate.networks.layers import BatchNorm, Dropout, Parallel
from striate.networks.layers.base import Layer
from striate.networks.layers.foreign import Foreign, ForeignNorm, ForeignPart
from striate.networks.layers.joins import Container
from striate.networks.network import Network

MULTIPLIES = ("conv", "linear", "local")  # roles of layers that count towards the depth


class NetworkFacts(NamedTuple):
    """The facts of a network that the diagnosis needs; None if its parts do not show them."""

    name: str
    params: int
    depth: int | None  # layers that multiply by weights, all branches counted
    norms: int
    shortcuts: int | None  # sums of branches
    norm_momentum: float | None  # the smallest of its batch norms: the share of a batch in the running statistics
    dropout: float  # the largest probability
    kind: Kind = "pictures"  # of the samples that it takes

    @property
    def is_plain(self) -> bool:
        """True if it is known to have neither norms nor shortcuts."""
        return self.norms == 0 and self.shortcuts == 0


class Setup(NamedTuple):
    """The set-up of a training."""

    settings: TrainSettings
    augmentation: Augmentation
    network: NetworkFacts
    is_fresh: bool  # the weights were random at the start
    num_train: int | None = None  # pictures
    num_val: int | None = None
    usual_rate: float | None = None  # the default learning rate for this network, optimizer and batch

    @property
    def is_mixed(self) -> bool:
        """True if training pictures and their labels were mixed."""
        return self.augmentation.mixup > 0 or self.augmentation.cutmix > 0

    @property
    def is_averaged(self) -> bool:
        """True if averages of the weights are validated."""
        return self.settings.ema is not None or self.settings.swa_start is not None


def facts_of(network: Network) -> NetworkFacts:
    """The facts from a description."""
    layers = [row.layer for row in network.rows]
    foreign = any(isinstance(layer, Foreign | ForeignPart | ForeignNorm) for layer in layers)
    momenta = [layer.momentum for layer in layers if isinstance(layer, BatchNorm)]
    return NetworkFacts(
        name=network.name,
        params=network.params,
        depth=None if foreign else sum(layer.role in MULTIPLIES for layer in layers),
        norms=sum(layer.role == "norm" for layer in layers),
        shortcuts=None if foreign else _sums(network.root),
        norm_momentum=min(momenta, default=None),
        dropout=max((layer.p for layer in layers if isinstance(layer, Dropout)), default=0.0),
        kind=KINDS[len(network.input_shape) - 1],
    )


def _sums(layer: Layer) -> int:
    """The parallels below a layer that are summed."""
    if not isinstance(layer, Container):
        return 0
    return (isinstance(layer, Parallel) and layer.merge == "sum") + sum(_sums(child) for _, child in layer.children)
