"""Convolution in one, two or three dimensions, by the rank of the input."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers.base import Cost, Count, Layer, Shape, Size, leaf, spatial
from striate.networks.layers.windows import PaddingRule, Window, window_of
from striate.networks.modules.padding import Pads

if TYPE_CHECKING:
    from torch import nn


@leaf
class Conv(Layer):
    """Convolution (cross-correlation, as everywhere in the field) of a (C, L), (C, H, W) or (C, D, H, W) input.

    `connections` lists for each output map the input maps that it sees (LeNet-5's C3); None connects all.
    """

    role: ClassVar[str] = "conv"
    out_channels: Count
    kernel_size: Size
    stride: Size = 1
    padding: PaddingRule = 0
    dilation: Size = 1
    groups: Count = 1
    bias: bool = True
    connections: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        table = self.connections
        if table is None:
            return
        if self.groups != 1 or len(table) != self.out_channels:
            raise UsageError(
                f"connections must list the inputs of each of {self.out_channels} output maps, with groups=1, got {len(table)}"
            )
        for output, inputs in enumerate(table):
            if not inputs or min(inputs) < 0 or len(set(inputs)) != len(inputs):
                raise UsageError(f"connections of output map {output} must be one or more distinct input maps from 0 on, got {inputs}")

    def _window(self, shape: Shape) -> Window:
        return window_of(spatial(shape, "convolution"), self.kernel_size, self.stride, self.padding, self.dilation)

    def output_shape(self, shape: Shape) -> Shape:
        window = self._window(shape)
        if shape[0] % self.groups or self.out_channels % self.groups:
            raise ShapeError(f"groups={self.groups} must divide {shape[0]} input and {self.out_channels} output channels")
        if self.connections is not None:
            self._check_connections(shape, window.pads)
        return (self.out_channels, *window.output)

    def _check_connections(self, shape: Shape, pads: Pads) -> None:
        last = max(map(max, self.connections or ()))
        if last >= shape[0]:
            raise ShapeError(f"connections name input map {last}, but there are {shape[0]} maps, 0 to {shape[0] - 1}, in {shape}")
        if len(shape) != 3 or self.padding == "tf_same" or any(before != after for before, after in pads):
            raise ShapeError(f"connections need a shape (C, H, W) and symmetric padding, got {shape} and {self.padding!r}")

    def links(self, in_channels: int) -> int:
        """The number of connected pairs of an input and an output map."""
        if self.connections is not None:
            return sum(map(len, self.connections))
        return in_channels // self.groups * self.out_channels

    def cost(self, shape: Shape) -> Cost:
        window = self._window(shape)
        places, biases = prod(window.output), self.out_channels * self.bias
        weights = prod(window.kernel) * self.links(shape[0])
        return Cost(
            params=weights + biases,
            macs=places * weights,
            activations=places * self.out_channels,
            connections=places * (weights + biases),
            reach=window.reach,
        )

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.convolution import build_convolution

        self.output_shape(shape)
        _, kernel, stride, dilation, pads, *_ = self._window(shape)
        return build_convolution(
            shape[0],
            self.out_channels,
            kernel,
            stride=stride,
            pads=pads,
            dilation=dilation,
            groups=self.groups,
            bias=self.bias,
            connections=self.connections,
            tf_same=self.padding == "tf_same",
        )
