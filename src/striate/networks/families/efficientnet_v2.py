"""EfficientNetV2-S: the early blocks of an EfficientNet fused into ordinary convolutions, which processors run faster.

Source: Tan and Le, 2021, "EfficientNetV2: smaller models and faster training", arXiv:2104.00298, Table 4.
Departs from the source: the last convolution has 1,280 maps where the table says 1,792, and stage 6 has 256 where it says 272, as in the
authors' code and torchvision; stochastic depth grows from 0 to nearly 0.2 over the blocks.
Known size: 21,458,488 parameters and 8,365,617,152 MACs at 384 x 384 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import conv_norm, residual, squeeze_excitation, stages_with_drop
from striate.networks.layers import BatchNorm, Chain, Dropout, GlobalPool, Layer, Linear, StochasticDepth


class Stage(NamedTuple):
    """One row of Table 4: `repeats` blocks, of which only the first has `stride`."""

    fused: bool
    expansion: int  # hidden channels / input channels
    out_channels: int
    repeats: int
    stride: int


# fmt: off
#         fused  expansion  out_channels  repeats  stride     output (C, H, W) of a 384 x 384 image
STAGES = (
    Stage( True,         1,           24,       2,      1),  # ( 24, 192, 192)
    Stage( True,         4,           48,       4,      2),  # ( 48,  96,  96)
    Stage( True,         4,           64,       4,      2),  # ( 64,  48,  48)
    Stage(False,         4,          128,       6,      2),  # (128,  24,  24)
    Stage(False,         6,          160,       9,      1),  # (160,  24,  24)
    Stage(False,         6,          256,      15,      2),  # (256,  12,  12)
)
# fmt: on
NORM = BatchNorm(eps=1e-3)


def fused_body(in_channels: int, row: Stage, stride: int) -> dict[str, Layer]:
    """A 3 x 3 convolution that expands, and a projection; one convolution alone where nothing is expanded."""
    if row.expansion == 1:
        return {"unit": conv_norm(row.out_channels, 3, stride=stride, act="silu", norm=NORM)}
    expand = conv_norm(in_channels * row.expansion, 3, stride=stride, act="silu", norm=NORM)
    return {"expand": expand, "project": conv_norm(row.out_channels, 1, act=None, norm=NORM)}


def separable_body(in_channels: int, row: Stage, stride: int) -> dict[str, Layer]:
    """Expand, filter each channel, weigh the channels, project back."""
    hidden = in_channels * row.expansion
    return {
        "expand": conv_norm(hidden, 1, act="silu", norm=NORM),
        "depthwise": conv_norm(hidden, 3, stride=stride, groups=hidden, act="silu", norm=NORM),
        "excite": squeeze_excitation(hidden, in_channels // 4),
        "project": conv_norm(row.out_channels, 1, act=None, norm=NORM),
    }


def block(in_channels: int, row: Stage, stride: int, drop: float) -> Layer:
    """A block, with a shortcut where input and output agree."""
    body = (fused_body if row.fused else separable_body)(in_channels, row, stride)
    if stride == 1 and in_channels == row.out_channels:
        return residual(Chain(**body, drop=StochasticDepth(drop)))
    return Chain(**body)


def efficientnet_v2_s(num_classes: int) -> Chain:
    """EfficientNetV2-S."""
    return Chain(
        stem=conv_norm(24, 3, stride=2, act="silu", norm=NORM),
        **stages_with_drop(24, STAGES, block),
        unit=conv_norm(1280, 1, act="silu", norm=NORM),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.2), linear=Linear(num_classes)),
    )
