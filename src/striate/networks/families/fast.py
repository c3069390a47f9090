"""A network that learns small pictures in few epochs.

A 2x2 convolution that only whitens, three stages of two 3x3 convolutions, the first of each pooled, then the largest value of each map.

Source: airbench94's (Jordan, 2024, arXiv:2404.00498, section 3), but for the last maximum, which is over whatever places are left, so that
it takes other sizes than 32 x 32.
Known size: fast_cnn 1,971,640 parameters at 3 channels and 10 classes. Any picture from 9 x 9 pixels on.
"""

from __future__ import annotations

from collections.abc import Sequence

from striate.networks.layers import Activation, BatchNorm, Chain, Conv, GlobalPool, Layer, Linear, Pool, Scale

WHITENED = "whiten"  # the path of the convolution that only whitens
FILTERS = 24  # both signs of the 12 directions of windows of 2 x 2 places in 3 channels
WIDTHS = (64, 256, 256)
NEW_SHARE = 0.4  # of a batch in the running statistics


def fast_cnn(num_classes: int, widths: Sequence[int] = WIDTHS) -> Chain:
    """Whitened windows, then stages of two convolutions with batch normalization, each pooled after its first."""
    parts: dict[str, Layer] = {WHITENED: Conv(FILTERS, 2, padding=0), "act": Activation("gelu")}
    for index, width in enumerate(widths, start=1):
        norm = BatchNorm(momentum=NEW_SHARE, scale=False)
        parts[f"stage{index}"] = Chain(
            conv1=Conv(width, 3, padding="same", bias=False),
            pool=Pool("max", 2),
            norm1=norm,
            act1=Activation("gelu"),
            conv2=Conv(width, 3, padding="same", bias=False),
            norm2=norm,
            act2=Activation("gelu"),
        )
    return Chain(**parts, head=Chain(pool=GlobalPool("max"), linear=Linear(num_classes, bias=False), scale=Scale(1 / 9)))
