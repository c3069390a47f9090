"""Layers that make maps larger: transposed convolution and interpolation."""

from __future__ import annotations

from math import gcd, prod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers.base import Cost, Count, Layer, Padding, Reach, Shape, Size, elements, leaf, per_axis, spatial
from striate.networks.layers.windows import by

if TYPE_CHECKING:
    from torch import nn

Scale = Annotated[float, Field(gt=0)]


@leaf
class ConvTranspose(Layer):
    """Transposed convolution, the gradient of a convolution: each input place adds a kernel's worth to the output.

    `init="bilinear"` starts as bilinear enlargement of each map by itself (Long et al. 2015); the weights are learned all the same.
    """

    role: ClassVar[str] = "conv"
    out_channels: Count
    kernel_size: Size
    stride: Size = 1
    padding: Padding = 0
    output_padding: Padding = 0
    groups: Count = 1
    bias: bool = True
    dilation: Size = 1
    init: Literal["bilinear"] | None = None

    def _axes(self, shape: Shape) -> tuple[Shape, Shape, Shape, Shape, Shape]:
        rank = len(spatial(shape, "transposed convolution"))
        kernel, stride, dilation = (per_axis(getattr(self, name), rank, name) for name in ("kernel_size", "stride", "dilation"))
        return kernel, stride, dilation, per_axis(self.padding, rank, "padding"), per_axis(self.output_padding, rank, "output_padding")

    def output_shape(self, shape: Shape) -> Shape:
        kernel, stride, dilation, padding, extra = self._axes(shape)
        if shape[0] % self.groups or self.out_channels % self.groups:
            raise ShapeError(f"groups={self.groups} must divide {shape[0]} input and {self.out_channels} output channels")
        if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
            raise ShapeError(f"output_padding {by(extra)} must be smaller than stride {by(stride)} or dilation {by(dilation)}")
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, k, s, d, p, e in zip(shape[1:], kernel, stride, dilation, padding, extra, strict=True)
        ]
        if min(sizes) < 1:
            raise ShapeError(f"transposed convolution with a {by(kernel)} kernel and padding {by(padding)} leaves nothing of {shape}")
        return (self.out_channels, *sizes)

    def cost(self, shape: Shape) -> Cost:
        kernel, stride, dilation, padding, _ = self._axes(shape)
        output = elements(self.output_shape(shape))
        weights, biases = prod(kernel) * shape[0] * self.out_channels // self.groups, self.out_channels * self.bias
        macs = prod(shape[1:]) * weights  # each input place meets each weight once
        axes = list(zip(kernel, stride, dilation, padding, strict=True))
        return Cost(
            params=weights + biases,
            macs=macs,
            activations=output,
            connections=macs + output * self.bias,
            reach=Reach(
                tuple(_span(k, s, d) + 1 for k, s, d, _ in axes),
                tuple(1 / s for _, s, _, _ in axes),
                tuple((p - d * (k - 1) / 2) / s for k, s, d, p in axes),
            ),
        )

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.transposed import build_transposed

        self.output_shape(shape)
        kernel, stride, dilation, padding, extra = self._axes(shape)
        return build_transposed(
            shape[0],
            self.out_channels,
            kernel,
            stride=stride,
            padding=padding,
            output_padding=extra,
            groups=self.groups,
            bias=self.bias,
            dilation=dilation,
            bilinear=self.init == "bilinear",
        )


def _span(kernel: int, stride: int, dilation: int) -> int:
    """The most input places from the first to the last that one output place sees: those a whole number of strides apart."""
    step = stride // gcd(stride, dilation)  # kernel places from one that meets an input place to the next
    return (kernel - 1) // step * step * dilation // stride


@leaf
class Interpolate(Layer):
    """Enlarge or shrink maps to `scale` times their size, rounded down, or to `size`, by the nearest or by linear interpolation.

    Pixels are areas, and the corners of input and output agree (torch's `align_corners=False`).
    """

    role: ClassVar[str] = "resize"
    scale: Scale | tuple[Scale, ...] | None = None
    size: Size | None = None
    mode: Literal["nearest", "bilinear"] = "nearest"

    def __post_init__(self) -> None:
        if (self.scale is None) == (self.size is None):
            raise UsageError(f"interpolation needs either scale or size, got scale={self.scale} and size={self.size}")

    def _scales(self, shape: Shape) -> tuple[float, ...]:
        """Output places for each input place, per axis."""
        extent = spatial(shape, "interpolation")
        if self.size is not None:
            return tuple(m / n for m, n in zip(per_axis(self.size, len(extent), "size"), extent, strict=True))
        scale = self.scale if isinstance(self.scale, tuple) else (self.scale or 1.0,) * len(extent)
        if len(scale) != len(extent):
            raise ShapeError(f"scale {scale} has {len(scale)} entries, but the input has {len(extent)} spatial axes")
        return scale

    def output_shape(self, shape: Shape) -> Shape:
        extent, scales = spatial(shape, "interpolation"), self._scales(shape)
        sizes = tuple(int(n * scale) for n, scale in zip(extent, scales, strict=True))
        if self.size is not None:
            sizes = per_axis(self.size, len(extent), "size")
        if min(sizes) < 1:
            raise ShapeError(f"interpolation by {scales} leaves nothing of {shape}")
        return (shape[0], *sizes)

    def cost(self, shape: Shape) -> Cost:
        scales, output_shape = self._scales(shape), self.output_shape(shape)
        shift = tuple((1 / scale - 1) / 2 for scale in scales)
        kernel = tuple(
            2 if self.mode == "bilinear" and any(((place + 0.5) / scale - 0.5) % 1 for place in range(size)) else 1
            for scale, size in zip(scales, output_shape[1:], strict=True)
        )
        return Cost(activations=elements(output_shape), reach=Reach(kernel, tuple(1 / scale for scale in scales), shift))

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        self.output_shape(shape)
        mode = "nearest" if self.mode == "nearest" else ("linear", "bilinear", "trilinear")[len(shape) - 2]
        if self.size is not None:
            return nn.Upsample(size=per_axis(self.size, len(shape) - 1, "size"), mode=mode)
        return nn.Upsample(scale_factor=self._scales(shape), mode=mode)
