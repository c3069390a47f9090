"""Training on what is no picture: the network and the input of signals, volumes and the rows of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import UsageError
from striate.core.images import KINDS, Form, Kind, SignalSpec
from striate.data.records import DataSource
from striate.data.signals import NETWORKS, statistics_of
from striate.models.transfer import Weights
from striate.networks.catalog import CATALOG, SUFFIX, described_network
from striate.networks.catalog import network as catalog_network
from striate.networks.network import Network
from striate.workflows.recipes.options import OPTIONS
from striate.workflows.training.request import TrainRequest

OF_PICTURES = (*(option.field for option in OPTIONS if option.group in ("augmentation", "images")), "pretrain", "adversarial")
OF_TABLES = ("target",)


def kind_of_network(asked: Any) -> Kind | None:
    """The kind of the samples that the network of a request takes; None where it does not say."""
    if isinstance(asked, str | Path) and str(asked).endswith(SUFFIX):
        asked = described_network(Path(asked))
    shape = asked.input_shape if isinstance(asked, Network) else CATALOG[asked].input_shape if asked in CATALOG else None
    return None if shape is None else KINDS.get(len(shape) - 1)


def form_of(request: TrainRequest) -> Form:
    """The form in which the data of a request is read."""
    return Form(kind_of_network(request.network), request.target, effect=request.input_effect)


def network_of_signals(asked: Network | str | None, source: DataSource, outputs: str) -> Network:
    """The network for the data's classes, channels and extent; by default that of `NETWORKS`.

    Raises:
        UsageError: it takes other samples, or gives something else; `outputs` says what the data has.
        ShapeError: a network of the catalogue does not fit the extent.
    """
    extent, classes = source.extent or (), len(source.classes)
    dense = source.task == "segment"
    if not isinstance(asked, Network):
        name = asked or ("step_lstm" if dense else NETWORKS[source.kind])
        asked = catalog_network(name, num_classes=classes, in_channels=source.channels, input_size=extent)
    if asked.input_shape != (source.channels, *extent):
        message = f"{asked.name} takes {asked.input_shape}, but the {source.kind} of {source.name} are {(source.channels, *extent)}"
        raise UsageError(message, "Give the network an input_shape of channels first; ToSequence() turns (C, L) into steps (L, C).")
    wanted = (classes, *(extent if dense else ()))
    if asked.output_shape != wanted:
        message = f"{asked.name} has outputs of shape {asked.output_shape}, but {source.name} has {outputs}{' at each place' * dense}"
        raise UsageError(message, f"Let its outputs have the shape {wanted}.")
    return asked


def spec_of_signals(source: DataSource, samples: np.ndarray | None = None, weights: Weights | None = None) -> SignalSpec:
    """The input of a network for the data; its mean and deviation are those of the `weights` it starts from, else of the `samples`."""
    channels = source.channels
    theirs = weights.images if weights is not None else None
    if isinstance(theirs, SignalSpec) and theirs.channels == channels:
        mean, std = theirs.mean, theirs.std
    else:
        mean, std = ((0.0,) * channels, (1.0,) * channels) if samples is None else statistics_of(samples)
    return SignalSpec(extent=source.extent or (), channels=channels, mean=mean, std=std, columns=source.columns, target=source.target)


def refuse_for_pictures(request: TrainRequest, kind: Kind) -> None:
    """Refuse options that change pictures.

    Raises:
        UsageError: names the first.
    """
    plain = TrainRequest()
    chosen = [name for name in OF_PICTURES if name not in OF_TABLES and getattr(request, name) != getattr(plain, name)]
    chosen += [f"`set` {name}" for name in request.set if name.partition(".")[0] in ("augmentation", "images")]
    if chosen:
        raise UsageError(f"{chosen[0]}: changes pictures, and the data has {kind}", "Leave it out.")
