"""EfficientNet-B0, a network found by search: inverted residual blocks with squeeze-and-excitation; and its Lite forms without.

Source: Tan and Le, 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", arXiv:1905.11946, Table 1; the Lite
forms: Liu, 2020, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow's blog, and its code, `efficientnet_lite_builder`.
Departs from the source: nothing known; stochastic depth grows from 0 to nearly 0.2 over the blocks, as in the authors' code. The published
Lite weights read pixels as (value - 127) / 128: a mean of 127/255 and a deviation of 128/255 of pixels in [0, 1].
Known size: 5,288,548 parameters and 385,814,752 MACs at 224 x 224 and 1,000 classes; 4,652,008 and 385,187,552 (Lite0) at 224 x 224,
5,416,680 and 600,185,232 (Lite1) at 240 x 240, 6,092,072 and 859,736,272 (Lite2) at 260 x 260.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from striate.networks.families.parts import conv_norm, residual, squeeze_excitation, stages_with_drop
from striate.networks.layers import (
    BatchNorm,
    Chain,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    StochasticDepth,
)

if TYPE_CHECKING:
    from striate.networks.layers.activation import ActivationName
    from striate.networks.layers.windows import PaddingRule


class Stage(NamedTuple):
    """One row of Table 1: `repeats` blocks, of which only the first has `stride`."""

    expansion: int  # hidden channels / input channels
    kernel_size: int
    out_channels: int
    repeats: int
    stride: int


# fmt: off
#         expansion  kernel_size  out_channels  repeats  stride     output (C, H, W) of a 224 x 224 image
STAGES = (
    Stage(        1,           3,           16,       1,      1),  # ( 16, 112, 112)
    Stage(        6,           3,           24,       2,      2),  # ( 24,  56,  56)
    Stage(        6,           5,           40,       2,      2),  # ( 40,  28,  28)
    Stage(        6,           3,           80,       3,      2),  # ( 80,  14,  14)
    Stage(        6,           5,          112,       3,      1),  # (112,  14,  14)
    Stage(        6,           5,          192,       4,      2),  # (192,   7,   7)
    Stage(        6,           3,          320,       1,      1),  # (320,   7,   7)
)
LITE = (    # factors of width and depth, and dropout, of Lite0, Lite1 and Lite2
    (1.0, 1.0, 0.2),
    (1.0, 1.1, 0.2),
    (1.1, 1.2, 0.3),
)
# fmt: on
LITE_NORM = BatchNorm(eps=1e-3)


def mb_conv(in_channels: int, row: Stage, stride: int, drop: float) -> Layer:
    """Expand, filter each channel, weigh the channels, project back; with a shortcut where input and output agree."""
    hidden = in_channels * row.expansion
    expand = {"expand": conv_norm(hidden, 1, act="silu")} if row.expansion > 1 else {}
    agree = stride == 1 and in_channels == row.out_channels
    body = Chain(
        **expand,
        depthwise=conv_norm(hidden, row.kernel_size, stride=stride, groups=hidden, act="silu"),
        excite=squeeze_excitation(hidden, in_channels // 4),
        project=conv_norm(row.out_channels, 1, act=None),
        **({"drop": StochasticDepth(drop)} if agree else {}),
    )
    return residual(body) if agree else body


def efficientnet_b0(num_classes: int) -> Chain:
    """EfficientNet-B0."""
    return Chain(
        stem=conv_norm(32, 3, stride=2, act="silu"),
        **stages_with_drop(32, STAGES, mb_conv),
        unit=conv_norm(1280, 1, act="silu"),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.2), linear=Linear(num_classes)),
    )


def lite_unit(out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1, act: ActivationName | None = "relu6") -> Chain:
    """A convolution that pads as TensorFlow does, batch normalization and, unless `act` is None, ReLU6."""
    padding: PaddingRule = "tf_same" if stride > 1 else "same"
    return conv_norm(out_channels, kernel_size, stride=stride, padding=padding, groups=groups, act=act, norm=LITE_NORM)


def lite_conv(in_channels: int, row: Stage, stride: int, drop: float) -> Layer:
    """Expand, filter each channel, project back; with a shortcut where input and output agree."""
    hidden = in_channels * row.expansion
    agree = stride == 1 and in_channels == row.out_channels
    body = Chain(
        **({"expand": lite_unit(hidden, 1)} if row.expansion > 1 else {}),
        depthwise=lite_unit(hidden, row.kernel_size, stride=stride, groups=hidden),
        project=lite_unit(row.out_channels, 1, act=None),
        **({"drop": StochasticDepth(drop)} if agree else {}),
    )
    return residual(body) if agree else body


def lite_stages(width: float, depth: float) -> list[Stage]:
    """The table, `width` times as wide (rounded to a multiple of 8) and `depth` times as deep but for its first and last row."""
    ends = (STAGES[0], STAGES[-1])
    return [
        row._replace(
            out_channels=int(width * row.out_channels + 4) // 8 * 8,
            repeats=row.repeats if row in ends else ceil(depth * row.repeats),
        )
        for row in STAGES
    ]


def efficientnet_lite(num_classes: int, number: int) -> Chain:
    """EfficientNet-Lite0, 1 or 2: stem and last convolution stay as wide as Lite0's."""
    width, depth, dropout = LITE[number]
    return Chain(
        stem=lite_unit(32, 3, stride=2),
        **stages_with_drop(32, lite_stages(width, depth), lite_conv),
        unit=lite_unit(1280, 1),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(dropout), linear=Linear(num_classes)),
    )
