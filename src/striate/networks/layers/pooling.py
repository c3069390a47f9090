"""Pooling over windows, over whole maps, and LeNet's trainable sub-sampling."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers.base import Cost, Layer, Reach, Shape, Size, elements, leaf, per_axis, spatial
from striate.networks.layers.windows import PaddingRule, by, pads_of, window_output
from striate.networks.modules.padding import Pads

if TYPE_CHECKING:
    from torch import nn


@leaf
class Pool(Layer):
    """Maximum or average over windows; the stride is the kernel size unless told otherwise.

    `ceil_mode` rounds the output size up, and drops a window that would start in the padding behind the input. An average counts
    the padding as zeros where `count_padding`.
    """

    role: ClassVar[str] = "pool"
    how: Literal["max", "avg"]
    kernel_size: Size
    stride: Size | None = None
    padding: PaddingRule = 0
    ceil_mode: bool = False
    count_padding: bool = True

    def __post_init__(self) -> None:
        if self.ceil_mode and self.padding in ("same", "tf_same"):
            raise UsageError(f"pooling takes ceil_mode with padding as a number, not with {self.padding!r}, which sets the size itself")

    def _window(self, shape: Shape) -> tuple[Shape, Shape, Shape, Pads]:
        extent = spatial(shape, "pooling")
        kernel = per_axis(self.kernel_size, len(extent), "kernel_size")
        stride = kernel if self.stride is None else per_axis(self.stride, len(extent), "stride")
        pads = pads_of(self.padding, extent, kernel, stride, (1,) * len(extent))
        if any(max(pair) > k // 2 for pair, k in zip(pads, kernel, strict=True)):
            raise ShapeError(f"pooling with a {by(kernel)} window takes at most half a window of padding, got {self.padding}")
        return extent, kernel, stride, pads

    def output_shape(self, shape: Shape) -> Shape:
        extent, kernel, stride, pads = self._window(shape)
        layer = f"pooling with a {by(kernel)} window"
        if not self.ceil_mode:
            return (shape[0], *window_output(extent, kernel, stride, (1,) * len(kernel), pads, layer))
        smallest = tuple(max(k - s + 1 - sum(p), 1) for k, s, p in zip(kernel, stride, pads, strict=True))
        if any(n < m for n, m in zip(extent, smallest, strict=True)):
            raise ShapeError(f"{layer} needs at least {by(smallest)} places, got {by(extent)}")
        sizes = []
        for n, k, s, (before, after) in zip(extent, kernel, stride, pads, strict=True):
            size = -(-(n + before + after - k) // s) + 1
            sizes.append(size - 1 if (size - 1) * s >= n + before else size)
        return (shape[0], *sizes)

    def cost(self, shape: Shape) -> Cost:
        _, kernel, stride, pads = self._window(shape)
        reach = Reach.of_window(kernel, stride, tuple(before for before, _ in pads))
        return Cost(activations=elements(self.output_shape(shape)), reach=reach)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.pooling import build_pooling

        self.output_shape(shape)
        _, kernel, stride, pads = self._window(shape)
        return build_pooling(
            self.how,
            kernel,
            stride=stride,
            pads=pads,
            ceil_mode=self.ceil_mode,
            count_padding=self.count_padding,
            tf_same=self.padding == "tf_same",
        )


@leaf
class GlobalPool(Layer):
    """Average or maximum over a whole map: (C, H, W) to (C,), or to (C, 1, 1) with `keep_axes`."""

    role: ClassVar[str] = "pool"
    how: Literal["avg", "max"] = "avg"
    keep_axes: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        extent = spatial(shape, "global pooling")
        return (shape[0], *((1,) * len(extent) if self.keep_axes else ()))

    def cost(self, shape: Shape) -> Cost:
        return Cost(activations=elements(self.output_shape(shape)), reach=Reach.of_everything(spatial(shape, "global pooling")))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.pooling import GlobalPoolModule

        return GlobalPoolModule(self.how, self.keep_axes)


@leaf
class AdaptivePool(Layer):
    """Averages that make maps of `size`, whatever comes in: place i of m reads places floor(i n / m) to ceil((i + 1) n / m) of n.

    Maps that have the size already stay as they are; of smaller ones places are read more than once.
    """

    role: ClassVar[str] = "pool"
    size: Size

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *per_axis(self.size, len(spatial(shape, "adaptive pooling")), "size"))

    def cost(self, shape: Shape) -> Cost:
        output = self.output_shape(shape)
        axes = list(zip(shape[1:], output[1:], strict=True))
        reach = Reach(
            tuple(max(-(-(i + 1) * n // m) - i * n // m for i in range(m)) for n, m in axes),
            tuple(n / m for n, m in axes),
            tuple((n / m - 1) / 2 for n, m in axes),
        )
        return Cost(activations=elements(output) if output != shape else 0, reach=reach)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.pooling import AdaptivePoolModule

        return AdaptivePoolModule(self.output_shape(shape)[1:])


@leaf
class Subsample(Layer):
    """LeNet-5's sub-sampling: the sum of a window times one coefficient per map, plus one bias per map.

    Source: LeCun, Bottou, Bengio and Haffner, 1998, section II.B, layer S2.
    """

    role: ClassVar[str] = "pool"
    kernel_size: Size

    def _kernel(self, shape: Shape) -> Shape:
        return per_axis(self.kernel_size, len(spatial(shape, "sub-sampling", (2,))), "kernel_size")

    def output_shape(self, shape: Shape) -> Shape:
        kernel = self._kernel(shape)
        return (shape[0], *window_output(shape[1:], kernel, kernel, (1, 1), ((0, 0), (0, 0)), f"sub-sampling by {by(kernel)}"))

    def cost(self, shape: Shape) -> Cost:
        kernel, output = self._kernel(shape), elements(self.output_shape(shape))
        reach = Reach.of_window(kernel, kernel, (0, 0))
        return Cost(params=2 * shape[0], activations=output, connections=output * (prod(kernel) + 1), reach=reach)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.pooling import SubsampleModule

        return SubsampleModule(shape[0], self._kernel(shape))
