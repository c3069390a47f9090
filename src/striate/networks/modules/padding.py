"""The places that TensorFlow adds around an input, which depend on its size."""

from __future__ import annotations

Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]  # (before, after) for each axis


def tensorflow_pads(extent: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
    """The "same" padding of TensorFlow and Keras: enough for ceil(size / stride) output places, the smaller half first."""
    spans = (d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    totals = (max((-(-n // s) - 1) * s + span - n, 0) for n, s, span in zip(extent, stride, spans, strict=True))
    return tuple((total // 2, total - total // 2) for total in totals)
