"""The dense end of a network as convolutions: on a larger input it gives scores for each place, not one for all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from striate.core.errors import UsageError
from striate.networks.edits.tree import edited, input_shapes, line_of, listed
from striate.networks.layers import (
    Activation,
    AdaptivePool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    LayerNorm,
    Linear,
    Pool,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.networks.layers import Shape
    from striate.networks.network import Network


def fully_convolutional(network: Network) -> Network:
    """`network` with its dense layers as convolutions, and its global pooling as pooling over windows of that size.

    The first dense layer becomes a convolution as large as the maps that were flattened, each further one a 1 x 1 convolution. At its own
    size the network gives the same logits, as (K, 1, 1); on a larger input (K, h, w), those of each window where nothing is padded.
    `with_weights_of` carries trained weights over. Auxiliary heads are left out.

    Raises:
        UsageError: it has no such end; names the part that has no convolutional form.

    Source: Long, Shelhamer and Darrell, 2015, arXiv:1411.4038, section 3.1.
    """
    line, shapes = list(line_of(network.root, "")), input_shapes(network)
    ends = [i for i, (path, layer) in enumerate(line) if isinstance(layer, Flatten | GlobalPool) and len(shapes[path]) > 1]
    if not ends or not any(isinstance(layer, Linear | GlobalPool) for _, layer in line[ends[0] :]):
        raise UsageError(f"{network.name} has no dense head to convert: its last maps are not flattened or pooled into linear layers")
    fixed = {path: layer for path, layer in line[: ends[0]] if isinstance(layer, AdaptivePool)}
    for path, layer in fixed.items():
        if layer.output_shape(shapes[path]) != shapes[path]:
            raise refusal(network, path, "makes maps of one size of any input")
    new, gone = converted(network, line[ends[0] :], shapes)
    removed = [*fixed, *gone]
    done = f"replaced {listed(list(new))}" + (f", removed {listed(removed)}" if removed else "")
    return edited(dataclasses.replace(network, heads=()), "fully convolutional", removed, new, done)


def converted(network: Network, end: list[tuple[str, Layer]], shapes: dict[str, Shape]) -> tuple[dict[str, Layer], list[str]]:
    """The convolutional forms of the layers at the end by their paths, and the paths of those that are not needed any more."""
    new: dict[str, Layer] = {}
    gone = []
    extent = shapes[end[0][0]][1:]
    one = (1,) * len(extent)
    for path, layer in end:
        if isinstance(layer, Flatten):
            gone.append(path)
        elif isinstance(layer, GlobalPool):
            new[path], extent = Pool(layer.how, extent, stride=1), one
        elif isinstance(layer, Linear):
            new[path], extent = Conv(layer.out_features, extent, bias=layer.bias), one
        elif isinstance(layer, Activation | BatchNorm | LayerNorm) and extent != one:
            raise refusal(network, path, "works on the flattened maps")
        elif not isinstance(layer, Activation | BatchNorm | LayerNorm | Dropout | Identity):
            raise refusal(network, path, f"{layer.kind} has no convolutional form")
    return new, gone


def refusal(network: Network, path: str, why: str) -> UsageError:
    """The error for a part that cannot be converted."""
    return UsageError(f"{network.name} has no dense head to convert: {path} {why}")


def with_weights_of(network: Network, state: dict[str, Tensor]) -> nn.Module:
    """The module of a converted network, in evaluation mode, with the weights of the one that it was converted from.

    Args:
        network: What `fully_convolutional` gave.
        state: The state dict of the module before: a dense weight (K, C h w) becomes a kernel (K, C, h, w).
    """
    module = network.build()
    module.load_state_dict({name: state[name].reshape(tensor.shape) for name, tensor in module.state_dict().items()})
    return module.eval()
