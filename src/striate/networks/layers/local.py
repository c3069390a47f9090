"""Local connection without weight sharing."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from striate.networks.layers.base import Cost, Count, Layer, Reach, Shape, Size, leaf, per_axis, spatial
from striate.networks.layers.windows import PaddingRule, by, pads_of, window_output
from striate.networks.modules.padding import Pads

if TYPE_CHECKING:
    from torch import nn


@leaf
class LocallyConnected(Layer):
    """A convolution that shares nothing: each output place has its own kernel and its own bias. It fits one input size only."""

    role: ClassVar[str] = "local"
    out_channels: Count
    kernel_size: Size
    stride: Size = 1
    padding: PaddingRule = 0
    bias: bool = True

    def _window(self, shape: Shape) -> tuple[Shape, Shape, Pads]:
        extent = spatial(shape, "locally connected layer")
        kernel, stride = (per_axis(getattr(self, name), len(extent), name) for name in ("kernel_size", "stride"))
        return kernel, stride, pads_of(self.padding, extent, kernel, stride, (1,) * len(extent))

    def output_shape(self, shape: Shape) -> Shape:
        kernel, stride, pads = self._window(shape)
        layer = f"locally connected layer with a {by(kernel)} window"
        return (self.out_channels, *window_output(shape[1:], kernel, stride, (1,) * len(kernel), pads, layer))

    def cost(self, shape: Shape) -> Cost:
        kernel, stride, pads = self._window(shape)
        places = prod(self.output_shape(shape)[1:])
        weights, outputs = places * prod(kernel) * shape[0] * self.out_channels, places * self.out_channels
        params = weights + outputs * self.bias
        reach = Reach.of_window(kernel, stride, tuple(before for before, _ in pads))
        return Cost(params=params, macs=weights, activations=outputs, connections=params, reach=reach)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.local import LocallyConnectedModule

        kernel, stride, pads = self._window(shape)
        output_shape = self.output_shape(shape)
        return LocallyConnectedModule(shape, output_shape, kernel, stride=stride, pads=pads, bias=self.bias)
