"""Convolution whose taps move with the input."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from striate.core.errors import EnvironmentFault, ShapeError
from striate.networks.layers.base import Cost, Count, Layer, Reach, Shape, Size, leaf, per_axis, spatial
from striate.networks.layers.windows import PaddingRule, by, pads_of, window_output
from striate.networks.modules.padding import Pads

if TYPE_CHECKING:
    from torch import nn


@leaf
class DeformableConv(Layer):
    """2-D convolution whose taps are moved, place by place, by offsets that a second convolution of the same window computes.

    Version 2 (`modulated`) also weighs each tap by a sigmoid. The second convolution starts at zero: version 1 then equals the plain
    convolution, version 2 halves every tap. The receptive field in a table is that of unmoved taps. Needs torchvision.

    Source: Dai et al., 2017, arXiv:1703.06211; Zhu et al., 2018, arXiv:1811.11168.
    """

    role: ClassVar[str] = "conv"
    out_channels: Count
    kernel_size: Size
    stride: Size = 1
    padding: PaddingRule = 0
    dilation: Size = 1
    groups: Count = 1
    bias: bool = True
    modulated: bool = False
    offset_groups: Count = 1

    def _window(self, shape: Shape) -> tuple[Shape, Shape, Shape, Pads]:
        extent = spatial(shape, "deformable convolution", (2,))
        kernel, stride, dilation = (per_axis(getattr(self, name), 2, name) for name in ("kernel_size", "stride", "dilation"))
        pads = pads_of(self.padding, extent, kernel, stride, dilation)
        if any(before != after for before, after in pads):
            raise ShapeError(f"deformable convolution needs symmetric padding, but {self.padding!r} gives {pads}")
        return kernel, stride, dilation, pads

    def output_shape(self, shape: Shape) -> Shape:
        kernel, stride, dilation, pads = self._window(shape)
        for name, parts in (("groups", self.groups), ("offset_groups", self.offset_groups)):
            if shape[0] % parts or (name == "groups" and self.out_channels % parts):
                raise ShapeError(f"{name}={parts} must divide {shape[0]} input and {self.out_channels} output channels")
        layer = f"deformable convolution with a {by(kernel)} kernel"
        return (self.out_channels, *window_output(shape[1:], kernel, stride, dilation, pads, layer))

    def moves(self, kernel: Shape) -> int:
        """Channels of the second convolution: two offsets for each tap, and in version 2 a weight."""
        return (3 if self.modulated else 2) * prod(kernel) * self.offset_groups

    def cost(self, shape: Shape) -> Cost:
        kernel, stride, dilation, pads = self._window(shape)
        places, moves = prod(self.output_shape(shape)[1:]), self.moves(kernel)
        weights = prod(kernel) * shape[0] * (self.out_channels // self.groups + moves)
        biases = self.out_channels * self.bias + moves
        effective = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        return Cost(
            params=weights + biases,
            macs=places * weights,
            activations=places * (self.out_channels + moves),
            connections=places * (weights + biases),
            reach=Reach.of_window(effective, stride, tuple(before for before, _ in pads)),
        )

    def build(self, shape: Shape) -> nn.Module:
        self.output_shape(shape)
        kernel, stride, dilation, pads = self._window(shape)
        try:
            from striate.networks.modules.deformable import DeformableConvModule
        except ImportError as error:
            fault = f"deformable convolution needs torchvision, which is not available: {error}"
            raise EnvironmentFault(fault, "Install it with: pip install 'striate[vision]'") from None
        return DeformableConvModule(
            shape[0],
            self.out_channels,
            kernel,
            stride=stride,
            padding=tuple(before for before, _ in pads),
            dilation=dilation,
            groups=self.groups,
            bias=self.bias,
            modulated=self.modulated,
            moves=self.moves(kernel),
        )
