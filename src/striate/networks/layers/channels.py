"""Layers along the channel axis: a linear map, constants, padding, parts and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers.base import Cost, Count, Layer, Reach, Shape, Size, elements, leaf, per_axis, spatial

if TYPE_CHECKING:
    from torch import nn


@leaf
class ChannelLinear(Layer):
    """y = W x + b over the channels at each place: what a 1x1 convolution does, with a weight (out, in) as ConvNeXt stores it."""

    role: ClassVar[str] = "linear"
    out_channels: Count
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        return (self.out_channels, *spatial(shape, "channel linear"))

    def cost(self, shape: Shape) -> Cost:
        output = elements(self.output_shape(shape))
        params = (shape[0] + self.bias) * self.out_channels
        return Cost(params=params, macs=shape[0] * output, activations=output, connections=(shape[0] + self.bias) * output)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.channels import ChannelLinearModule

        self.output_shape(shape)
        return ChannelLinearModule(shape[0], self.out_channels, self.bias)


@leaf
class Gain(Layer):
    """A learned number for each channel, (C, 1, 1) for a map and (F,) for a vector, whatever values come in.

    As a branch that multiplies a body it is ConvNeXt's layer scale: `Parallel(scale=Gain(1e-6), body=..., merge="multiply")`.
    """

    role: ClassVar[str] = "scale"
    init: float = 1.0

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *(1,) * (len(shape) - 1))

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=shape[0])

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.channels import GainModule

        return GainModule(self.output_shape(shape), self.init)


@leaf
class Scale(Layer):
    """Its input times one constant, as the residual bodies of Inception-ResNet are scaled down."""

    role: ClassVar[str] = "scale"
    factor: float

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.channels import ScaleModule

        return ScaleModule(self.factor)


@leaf
class PadChannels(Layer):
    """Every `stride`-th place of each map, and maps of zeros behind the last up to `out_channels`.

    This is the parameter-free shortcut of residual networks, option A. The paper does not say where the zeros go: here, as in its
    authors' later code, behind the channels that exist.

    Source: He et al., 2015, arXiv:1512.03385v1, section 3.3.
    """

    role: ClassVar[str] = "pad"
    out_channels: Count
    stride: Size = 1

    def output_shape(self, shape: Shape) -> Shape:
        extent = spatial(shape, "channel padding")
        if self.out_channels < shape[0]:
            raise ShapeError(f"channel padding to {self.out_channels} channels needs at most as many, got {shape[0]} in {shape}")
        strides = per_axis(self.stride, len(extent), "stride")
        return (self.out_channels, *((n - 1) // s + 1 for n, s in zip(extent, strides, strict=True)))

    def cost(self, shape: Shape) -> Cost:
        rank = len(spatial(shape, "channel padding"))
        reach = Reach.of_window((1,) * rank, per_axis(self.stride, rank, "stride"), (0,) * rank)
        return Cost(activations=elements(self.output_shape(shape)), reach=reach)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.channels import PadChannelsModule

        self.output_shape(shape)
        return PadChannelsModule(self.out_channels - shape[0], per_axis(self.stride, len(shape) - 1, "stride"))


@leaf
class MatchChannels(Layer):
    """The channels as they are where they are `out_channels`; else their mean, that many times: the colourless picture.

    It is the shortcut of a network that gives pictures, of whatever channels.
    """

    role: ClassVar[str] = "match"
    out_channels: Count

    def output_shape(self, shape: Shape) -> Shape:
        return (self.out_channels, *spatial(shape, "matching of channels"))

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        from striate.networks.modules.channels import MeanChannelsModule

        self.output_shape(shape)
        return nn.Identity() if shape[0] == self.out_channels else MeanChannelsModule(self.out_channels)


@leaf
class ChannelChunk(Layer):
    """One of `chunks` equal parts of the channels, counted from 0."""

    role: ClassVar[str] = "chunk"
    index: Annotated[int, Field(ge=0)]
    chunks: Count

    def __post_init__(self) -> None:
        if self.index >= self.chunks:
            raise UsageError(f"index of a chunk must be less than chunks={self.chunks}, got {self.index}")

    def output_shape(self, shape: Shape) -> Shape:
        if shape[0] % self.chunks:
            raise ShapeError(f"chunks={self.chunks} must divide the channels, got {shape}")
        return (shape[0] // self.chunks, *shape[1:])

    def cost(self, shape: Shape) -> Cost:
        return Cost()

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.channels import ChannelChunkModule

        self.output_shape(shape)
        return ChannelChunkModule(self.index, self.chunks)


@leaf
class ShuffleChannels(Layer):
    """The channels dealt out anew: the first of each of `groups`, then the second of each, and so on (Zhang et al. 2018)."""

    role: ClassVar[str] = "shuffle"
    groups: Count

    def output_shape(self, shape: Shape) -> Shape:
        if shape[0] % self.groups:
            raise ShapeError(f"groups={self.groups} must divide the channels, got {shape}")
        return shape

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        self.output_shape(shape)
        return nn.ChannelShuffle(self.groups)
