"""Networks that did not come from a description: `timm:NAME`, `torchvision:NAME`, and the user's own module, as a `Network`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast, get_args

from striate.core.errors import UnknownNameError, UsageError
from striate.networks.layers.foreign import Library, OwnNetwork, PublishedNetwork, lines_of, published_shape
from striate.networks.layers.joins import Chain
from striate.networks.network import Network

if TYPE_CHECKING:
    from torch import nn

    from striate.networks.layers.base import Shape


def is_published_name(name: str) -> bool:
    """Return whether `name` has the form LIBRARY:NAME."""
    return ":" in name


def published_parts(name: str) -> tuple[Library, str, str]:
    """The library, the name in it and the tag of the weights, which may be empty, of such as `timm:resnet18.a1_in1k`.

    Raises:
        UnknownNameError: there is no such library.
    """
    which, _, model = name.partition(":")
    if which not in get_args(Library):
        raise UnknownNameError("library of networks", which, get_args(Library), "Known: timm:NAME and torchvision:NAME.")
    model, _, tag = model.partition(".")
    return cast("Library", which), model, tag


def published_network(
    name: str, num_classes: int | None = None, in_channels: int | None = None, input_size: int | tuple[int, ...] | None = None
) -> Network:
    """The network that timm or torchvision has by this name, such as `timm:resnet10t`; 1,000 classes unless told otherwise.

    Args:
        name: `timm:NAME` or `torchvision:NAME`; a tag of weights after the name says nothing about the network.
        num_classes: Outputs.
        in_channels: Channels of the input; torchvision's have 3.
        input_size: Pixels of a square input, or (H, W).

    Raises:
        UnknownNameError: no such library, or no such name in it; gives the nearest.
        ShapeError: the network cannot take this input.
        EnvironmentFault: the library is not installed.
    """
    which, model, _ = published_parts(name)
    channels, *extent = published_shape(which, model)
    if input_size is not None:
        extent = [input_size] * 2 if isinstance(input_size, int) else list(input_size)
    if in_channels is not None and not (which == "torchvision" and in_channels == 1):  # grey pictures are repeated over 3 channels
        channels = in_channels
    root = Chain(model=PublishedNetwork(which, model, num_classes or 1000))
    network = Network(f"{which}:{model}", (channels, *extent), root, source=which)
    network.rows  # noqa: B018  # computed once, kept: it raises where a size does not fit
    return network


def own_network(module: nn.Module, input_shape: Shape) -> Network:
    """The user's module as a network; its weights are where a training starts, and it is not changed itself.

    Args:
        module: Maps (N, C, H, W) float to logits (N, K); or (N, K, H, W), a class for each pixel.
        input_shape: (C, H, W).

    Raises:
        ShapeError: it cannot take such a picture, or gives something else.
    """
    lines, name = lines_of(module, input_shape), type(module).__name__
    params, macs = (sum(getattr(line.cost, field) for line in lines) for field in ("params", "macs"))
    return Network(name, input_shape, Chain(model=OwnNetwork(name, lines[-1].output_shape[0], params, macs, module)), source="the user's")


def is_own(network: Network) -> bool:
    """Return whether it is the user's own module."""
    return isinstance(dict(network.root.children).get("model"), OwnNetwork)


def needs_its_module(network: Network) -> bool:
    """Return whether it is the user's own module and was not passed: it can be counted, not built."""
    own = dict(network.root.children).get("model")
    return isinstance(own, OwnNetwork) and own.given is None


def channels_of(module: nn.Module) -> int | None:
    """The channels that the first convolution of a module takes."""
    from torch import nn

    return next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)


def with_module(network: Network, module: nn.Module | None) -> Network:
    """`network` with the user's module in its place, where it was one.

    Raises:
        UsageError: a module is handed in and not wanted, or is of another class.
    """
    if module is None:
        return network
    parts: dict[str, Any] = dict(network.root.children)
    own = parts.get("model")
    if not isinstance(own, OwnNetwork):
        raise UsageError(f"{network.name}: has a description of its own, and takes no module", "Leave module= out.")
    if type(module).__name__ != own.module:
        raise UsageError(f"the weights are those of a {own.module}, got a {type(module).__name__}", "Pass a module of that class.")
    return dataclasses.replace(network, root=Chain(model=dataclasses.replace(own, given=module)))
