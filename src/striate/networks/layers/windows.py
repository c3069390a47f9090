"""Windows that slide over an input: their padding, output size and receptive field."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from striate.core.errors import ShapeError
from striate.networks.layers.base import Padding, Reach, Shape, Size, per_axis
from striate.networks.modules.padding import Pads, tensorflow_pads

PaddingRule = Padding | Literal["valid", "same", "tf_same"]


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
        return tensorflow_pads(extent, kernel, stride, dilation)
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
    """An extent as text: `28 x 28`."""
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
