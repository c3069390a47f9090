"""Common forms of convolution that are not leaves of their own."""

from __future__ import annotations

from striate.networks.layers.base import Size
from striate.networks.layers.convolution import Conv
from striate.networks.layers.joins import Chain
from striate.networks.layers.windows import PaddingRule


def depthwise_conv(channels: int, kernel_size: Size, *, stride: Size = 1, padding: PaddingRule = "same", bias: bool = True) -> Conv:
    """One kernel for each of `channels` maps."""
    return Conv(channels, kernel_size, stride=stride, padding=padding, groups=channels, bias=bias)


def separable_conv(
    in_channels: int, out_channels: int, kernel_size: Size, *, stride: Size = 1, padding: PaddingRule = "same", bias: bool = True
) -> Chain:
    """A depthwise convolution, then a 1x1 convolution across the maps; the first has no bias, which the second would absorb."""
    return Chain(
        depthwise=depthwise_conv(in_channels, kernel_size, stride=stride, padding=padding, bias=False),
        pointwise=Conv(out_channels, 1, bias=bias),
    )


def asymmetric_conv(out_channels: int, kernel_size: int, *, padding: PaddingRule = "same", bias: bool = True) -> Chain:
    """1 x n, then n x 1: what an n x n convolution sees, with 2 n instead of n^2 weights per pair of maps."""
    return Chain(
        row=Conv(out_channels, (1, kernel_size), padding=padding, bias=bias),
        column=Conv(out_channels, (kernel_size, 1), padding=padding, bias=bias),
    )
