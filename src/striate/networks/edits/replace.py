"""Removing parts of a network, and replacing all layers of a role."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, get_args

from striate.core.errors import UnknownNameError, UsageError
from striate.networks.edits.kernels import without_bottleneck
from striate.networks.edits.tree import LONG_WORDS, all_lines, edited, input_shapes, line_of, listed, parts, select, topmost
from striate.networks.layers import (
    Activation,
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    LocalResponseNorm,
    Parallel,
    Pool,
    StochasticDepth,
    Subsample,
)
from striate.networks.layers.activation import ActivationName
from striate.networks.layers.joins import Container

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from striate.networks.network import Network

PoolingName = Literal["max", "avg"]
NORMS: dict[str, Callable[[int], Layer]] = {  # number of channels -> layer
    "batch": lambda _: BatchNorm(),
    "group": lambda channels: GroupNorm(num_groups(channels)),
    "instance": lambda _: InstanceNorm(affine=True),
    "layer": lambda _: LayerNorm(),
    "response": lambda _: LocalResponseNorm(),
}


STAYS = {  # why a network that has layers of the role may have none to replace
    "activation": "Those that it has are {to} already, or gates, softmax or identity, which stay.",
    "pooling": "Those that it has are {to} already, or global, which stay.",
    "norm": "Those that it has are {to} already.",
}


def without(network: Network, what: str) -> Network:
    """`network` with some parts removed.

    Args:
        network: Any network.
        what: A role or kind of layer (`norm`, `dropout`, `relu`, `batch_norm`); `shortcut`, which also means each branch that hands its
            input on to a sum or concatenation; `bottleneck`: each 1 x 1 convolution before a larger one; `branch=5x5`; a part's name
            (`branch5x5`); or a path or the end of one, `*` standing for any name (`stage3.block2`, `stage3.*`). With `@` and a place
            after it, only what lies there: `norm@stage3`.

    Returns:
        The network without these parts. What follows a bottleneck reads all channels, and takes over its stride. A convolution that had
        no bias because of a normalization gets one when that goes; a body that loses its shortcut stays, its stochastic depth goes; a
        join with one branch left becomes a chain; an auxiliary head goes with the part that it reads from.

    Raises:
        UnknownNameError: no part is called so; gives the nearest names.
        UsageError: the network has no such part, or nothing would be left, or `what` is not text.
        ShapeError: the parts that stay do not fit together; names the layer.
    """
    if not isinstance(what, str):
        raise UsageError(
            f"without: takes one part at a time, as a text, got {what!r}", "For example net.without('norm').without('shortcut')."
        )
    if what.partition("@")[0] == "bottleneck":
        return without_bottleneck(network, what.partition("@")[2] or None)
    gone = dict.fromkeys(part.path for part in select(network, what))  # a set in the order of the description
    gone |= dict.fromkeys(_idle_depths(network, gone.keys()))
    new = {path: _with_bias(layer) for path, layer in _owed_biases(network, gone.keys())}
    return edited(network, f"without {what}", gone.keys(), new, f"removed {listed(topmost(gone.keys()))}")


def swap(
    network: Network,
    *,
    activation: ActivationName | Layer | None = None,
    pooling: PoolingName | None = None,
    norm: str | Layer | None = None,
) -> Network:
    """`network` with every layer of a role replaced.

    Args:
        network: Any network.
        activation: What replaces each activation: a name such as "tanh", or a layer such as `Activation("leaky_relu", slope=0.2)`. A
            sigmoid that closes a branch of a product (a gate), softmax and identity stay.
        pooling: "max" or "avg" for each pooling over windows; global pooling stays.
        norm: "batch", "group", "instance", "layer", "response", or a layer, for each normalization. "group" takes the largest number of
            groups up to 32 that leaves at least two channels in each.

    Raises:
        UnknownNameError: no such activation, pooling or normalization; gives the nearest names.
        UsageError: no replacement given, or nothing to replace.
        ShapeError: the new layers do not fit; names the layer.
    """
    if activation is None and pooling is None and norm is None:
        raise UsageError("swap needs one of activation, pooling, norm", 'For example: swap(activation="tanh").')
    if activation is not None:
        network = _swap_activation(network, activation)
    if pooling is not None:
        network = _swap_pooling(network, pooling)
    if norm is not None:
        network = _swap_norm(network, norm)
    return network


def num_groups(channels: int) -> int:
    """The largest number of groups up to 32 that divides `channels` and leaves at least two channels in each; 1 if none does."""
    return max(groups for groups in range(1, 33) if channels % groups == 0 and (groups == 1 or channels // groups >= 2))


def _idle_depths(network: Network, gone: Collection[str]) -> Iterator[str]:
    """The stochastic depths of bodies that stand alone once `gone` is gone: they would drop the whole signal."""
    for part in parts(network):
        if isinstance(part.layer, Parallel) and part.layer.merge == "sum":
            left = [(name, child) for name, child in part.layer.branches if f"{part.path}.{name}" not in gone]
            if len(left) == 1 < len(part.layer.branches):
                yield from _depths(left[0][1], f"{part.path}.{left[0][0]}")


def _depths(layer: Layer, path: str) -> Iterator[str]:
    if isinstance(layer, StochasticDepth):
        yield path
    elif isinstance(layer, Container) and not (isinstance(layer, Parallel) and layer.merge == "sum"):
        for name, child in layer.children:
            yield from _depths(child, f"{path}.{name}")


def _owed_biases(network: Network, gone: Collection[str]) -> Iterator[tuple[str, Layer]]:
    """The layers that had no bias because of a normalization in `gone`: the one before it, or, where it came first, the one after it."""
    for line in all_lines(network):
        for index, (path, layer) in enumerate(line):
            if getattr(layer, "bias", True):
                continue
            after = line[index + 1] if index + 1 < len(line) else None
            if after is not None and after[1].role == "norm":
                owed = after[0] in gone
            else:
                before = [step for step in line[:index] if step[1].role not in ("act", "dropout")]
                owed = bool(before) and before[-1][1].role == "norm" and before[-1][0] in gone
            if owed:
                yield path, layer


def _with_bias(layer: Any) -> Layer:
    biased: Layer = dataclasses.replace(layer, bias=True)
    return biased


def _swap_activation(network: Network, activation: ActivationName | Layer) -> Network:
    if isinstance(activation, str) and activation not in get_args(ActivationName):
        raise UnknownNameError("activation", activation, get_args(ActivationName))
    layer = Activation(activation) if isinstance(activation, str) else activation
    stay = set(_gates(network))
    new: dict[str, Layer] = {}
    for part in parts(network):
        hidden = isinstance(part.layer, Activation) and part.layer.name not in ("softmax", "identity") and part.path not in stay
        if hidden and part.layer != layer:
            new[part.path] = layer
    return _swapped(network, "activation", layer, new)


def _gates(network: Network) -> Iterator[str]:
    """The sigmoids that close a branch of a product."""
    for part in parts(network):
        if isinstance(part.layer, Parallel) and part.layer.merge == "multiply":
            for name, branch in part.layer.branches:
                for path, layer in list(line_of(branch, f"{part.path}.{name}"))[-1:]:
                    if layer.kind in ("sigmoid", "hard_sigmoid"):
                        yield path


def _swap_pooling(network: Network, how: PoolingName) -> Network:
    if how not in get_args(PoolingName):
        raise UnknownNameError("pooling", how, get_args(PoolingName), "Poolings are: max, avg.")
    new: dict[str, Layer] = {}
    for part in parts(network):
        if isinstance(part.layer, Subsample):
            new[part.path] = Pool(how, part.layer.kernel_size)
        elif isinstance(part.layer, Pool) and part.layer.how != how:
            new[part.path] = dataclasses.replace(part.layer, how=how)
    return _swapped(network, "pooling", how, new)


def _swap_norm(network: Network, norm: str | Layer) -> Network:
    if isinstance(norm, str) and norm not in NORMS:
        raise UnknownNameError("normalization", norm, NORMS, f"Normalizations are: {', '.join(NORMS)}.")
    shapes = input_shapes(network)
    new: dict[str, Layer] = {}
    shiftless = set()
    for part in parts(network):
        if part.layer.role != "norm" or isinstance(part.layer, Container):
            continue
        shape = shapes[part.path]
        layer = NORMS[norm](shape[0]) if isinstance(norm, str) else norm
        if layer != part.layer:
            new[part.path] = layer
            if part.layer.cost(shape).params and not layer.cost(shape).params:
                shiftless.add(part.path)
    biased = {path: _with_bias(layer) for path, layer in _owed_biases(network, shiftless)}
    return _swapped(network, "norm", norm, new, biased)


def _swapped(network: Network, role: str, to: object, new: dict[str, Layer], adapted: dict[str, Layer] | None = None) -> Network:
    if not new:
        has = any(part.layer.role == LONG_WORDS.get(role, role) and not isinstance(part.layer, Container) for part in parts(network))
        to = to.name if isinstance(to, Activation) else to
        raise UsageError(f"{network.name} has no {role} to replace by {to}", STAYS[role].format(to=to) if has else "")
    return edited(network, f"with {role} {to}", (), new | (adapted or {}), f"replaced {listed(list(new))}")
