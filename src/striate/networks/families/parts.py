"""Parts that several families share."""

from __future__ import annotations

from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Identity, Layer, Parallel
from striate.networks.layers.activation import ActivationName

from striate.networks.layers.base import Size
from striate.networks.layers.convolution import PaddingRule


def conv_act(out_channels: int, kernel_size: Size, *, stride: int = 1, padding: PaddingRule = 0, groups: int = 1, act: ActivationName = "relu") -> Chain:
    """A convolution with bias and an activation."""
    return Chain(conv=Conv(out_channels, kernel_size, stride=stride, padding=padding, groups=groups), act=Activation(act))


def conv_norm(
    out_channels: int,
    kernel_size: Size,
    *,
    stride: int = 1,
    padding: PaddingRule = "same",
    groups: int = 1,
    act: ActivationName | None = "relu",
    norm: BatchNorm | None = None,
) -> Chain:
    """A convolution without bias, a batch normalization and, unless `act` is None, an activation."""
    parts: dict[str, Layer] = {
        "conv": Conv(out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=False),
        "norm": norm or BatchNorm(),
    }
    if act is not None:
        parts["act"] = Activation(act)
    return Chain(**parts)


def residual(body: Layer, shortcut: Layer | None = None) -> Parallel:
    """`body` plus its own input, or plus `shortcut` of it."""
    return Parallel(body=body, shortcut=shortcut or Identity(), merge="sum")
