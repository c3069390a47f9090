"""The vocabulary: every layer that a description may use, and its JSON form."""

from __future__ import annotations

from typing import Any

from striate.core.errors import RefusedFileError, StriateError
from striate.networks.layers.activation import Activation
from striate.networks.layers.attention import ClassToken, PositionEmbedding, SelfAttention, TakeStep
from striate.networks.layers.base import Layer
from striate.networks.layers.channels import ChannelChunk, ChannelLinear, Gain, MatchChannels, PadChannels, Scale, ShuffleChannels
from striate.networks.layers.convolution import Conv
from striate.networks.layers.deformable import DeformableConv
from striate.networks.layers.dense import Flatten, Identity, Linear
from striate.networks.layers.dropout import Dropout, SpatialDropout, StochasticDepth
from striate.networks.layers.foreign import OwnNetwork, PublishedNetwork
from striate.networks.layers.joins import Chain, Parallel, checked
from striate.networks.layers.local import LocallyConnected
from striate.networks.layers.normalization import BatchNorm, GlobalResponseNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from striate.networks.layers.pooling import AdaptivePool, GlobalPool, Pool, Subsample
from striate.networks.layers.radial import EuclideanRBF
from striate.networks.layers.recurrent import GRU, LSTM, Elman, ToSequence, ToSignal
from striate.networks.layers.transposed import ConvTranspose, Interpolate

LEAVES: dict[str, type[Layer]] = {
    leaf.__name__: leaf
    for leaf in (
        Activation,
        AdaptivePool,
        BatchNorm,
        ChannelChunk,
        ChannelLinear,
        ClassToken,
        Conv,
        ConvTranspose,
        DeformableConv,
        Dropout,
        Elman,
        EuclideanRBF,
        Flatten,
        GRU,
        Gain,
        GlobalPool,
        GlobalResponseNorm,
        GroupNorm,
        Identity,
        InstanceNorm,
        Interpolate,
        LSTM,
        LayerNorm,
        Linear,
        LocalResponseNorm,
        LocallyConnected,
        MatchChannels,
        OwnNetwork,
        PadChannels,
        Pool,
        PositionEmbedding,
        PublishedNetwork,
        Scale,
        SelfAttention,
        ShuffleChannels,
        SpatialDropout,
        StochasticDepth,
        Subsample,
        TakeStep,
        ToSequence,
        ToSignal,
    )
}
MAX_DEPTH = 200  # containers inside containers; the catalogue stays under 20


def layer_from_data(data: object, where: str = "root", depth: int = 0) -> Layer:
    """The layer that `to_data` wrote.

    Raises:
        RefusedFileError: unknown type, unknown or bad field, or too deep; names the place in the description.
    """
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise RefusedFileError(f"{where}: a layer must be an object with a type")
    if depth > MAX_DEPTH:
        raise RefusedFileError(f"{where}: containers are nested more than {MAX_DEPTH} deep")
    kind, fields = data["type"], {key: value for key, value in data.items() if key != "type"}
    try:
        if kind in ("Chain", "Parallel"):
            return _container_from_data(kind, fields, where, depth)
        if kind not in LEAVES:
            raise RefusedFileError(f"{where}: unknown layer type {kind!r}", f"Known types: Chain, Parallel, {', '.join(LEAVES)}.")
        return LEAVES[kind](**fields)
    except RefusedFileError:
        raise
    except StriateError as error:
        raise RefusedFileError(f"{where}: {error.message}", error.remedy) from None


def _container_from_data(kind: str, fields: dict[str, Any], where: str, depth: int) -> Layer:
    expected = {"children"} if kind == "Chain" else {"children", "merge"}
    children = fields.get("children")
    crop, trunk = (fields.pop("crop", None), fields.pop("trunk", None)) if kind == "Parallel" else (None, None)
    if crop is not None and (type(crop) is not int or crop < 0):
        raise RefusedFileError(f"{where}: crop must be a whole number, got {crop!r}")
    if trunk is not None and not isinstance(trunk, str):
        raise RefusedFileError(f"{where}: trunk must be the name of a child, got {trunk!r}")
    if set(fields) != expected or not isinstance(children, list):
        raise RefusedFileError(f"{where}: {kind} must have the fields {', '.join(sorted(expected))}, got {', '.join(sorted(fields))}")
    named = []
    for child in children:
        if not (isinstance(child, list) and len(child) == 2 and isinstance(child[0], str)):
            raise RefusedFileError(f"{where}: each child must be a pair of a name and a layer")
        named.append((child[0], layer_from_data(child[1], f"{where}.{child[0]}", depth + 1)))
    parts = dict(checked(tuple(named)))
    if kind == "Parallel" and (taken := parts.keys() & {"merge", "crop", "trunk"}):
        raise RefusedFileError(f"{where}: a branch cannot be called {min(taken)!r}", "Give it another name.")
    return Chain(**parts) if kind == "Chain" else Parallel(**parts, merge=fields["merge"], crop=crop, trunk=trunk)
