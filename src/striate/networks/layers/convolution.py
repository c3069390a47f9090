"""Convolution in one, two or three dimensions, by the rank of the input."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers.base import Cost, Count, Layer, Padding, Reach, Shape, Size, leaf, per_axis, spatial

if TYPE_CHECKING:
    from torch import nn

PaddingRule = Padding | Literal["valid", "same", "tf_same"]
Pads = tuple[tuple[int, int], ...]  # (before, after) for each axis


def pads_of(padding: PaddingRule, extent: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
    """The places added before and after each axis.

    "valid" adds none. "same" adds dilation (kernel - 1) places, the smaller half first, so that stride 1 keeps the size. "tf_same"
    adds what is needed for ceil(size / stride) output places, the smaller half first, as TensorFlow and Keras do.
    """
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    if padding == "valid":
        return tuple((0, 0) for _ in reach)
    if padding == "same":
        return tuple((r // 2, r - r // 2) for r in reach)
    if padding == "tf_same":
        totals = (max((-(-n // s) - 1) * s + r + 1 - n, 0) for n, s, r in zip(extent, stride, reach, strict=True))
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((p, p) for p in per_axis(padding, len(extent), "padding"))


def window_output(extent: Shape, kernel: Shape, stride: Shape, dilation: Shape, pads: Pads, layer: str) -> Shape:
    """floor((n + pads - dilation (kernel - 1) - 1) / stride) + 1 for each axis.

    Raises:
        ShapeError: the window is larger than the padded input; says how large the input must be.
    """
    smallest = tuple(max(d * (k - 1) + 1 - sum(p), 1) for k, d, p in zip(kernel, dilation, pads, strict=True))
    if any(n < m for n, m in zip(extent, smallest, strict=True)):
        raise ShapeError(f"{layer} needs at least {by(smallest)} places, got {by(extent)}")
    return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, d, p in zip(extent, kernel, stride, dilation, pads, strict=True))


def by(extent: Shape) -> str:
    """An extent as people write it: `28 x 28`."""
    return " x ".join(map(str, extent))


class Window(NamedTuple):
    """A convolution's window on an input of one extent, axis by axis."""

    extent: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    pads: Pads
    output: Shape
    reach: Reach


@lru_cache(maxsize=1024)  # a deep network asks for few different ones, thousands of times
def window_of(extent: Shape, kernel_size: Size, stride: Size, padding: PaddingRule, dilation: Size) -> Window:
    """The window that a convolution's fields mean for an input of `extent`.

    Raises:
        ShapeError: a field lists another number of axes, or the window is larger than the padded input.
    """
    kernel, steps, gaps = (
        per_axis(value, len(extent), what) for value, what in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation"))
    )
    pads = pads_of(padding, extent, kernel, steps, gaps)
    layer = f"convolution with a {by(kernel)} kernel" + (f" dilated by {by(gaps)}" if max(gaps) > 1 else "")
    output = window_output(extent, kernel, steps, gaps, pads, layer)
    effective = tuple(d * (k - 1) + 1 for d, k in zip(gaps, kernel, strict=True))
    return Window(extent, kernel, steps, gaps, pads, output, Reach.of_window(effective, steps, tuple(before for before, _ in pads)))


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
            raise ShapeError(f"connections need a shape (C, H, W) and as much padding before as after, got {shape} and {self.padding!r}")

    def links(self, in_channels: int) -> int:
        """How many pairs of an input and an output map are connected."""
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
