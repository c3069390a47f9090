"""EfficientNet-B0, a network found by search: inverted residual blocks with squeeze-and-excitation.

Source: Tan and Le, 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", arXiv:1905.11946, Table 1.
Departs from the source: nothing known; stochastic depth grows from 0 to nearly 0.2 over the blocks, as in the authors' code.
Known size: 5,288,548 parameters and 385,814,752 MACs at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import conv_norm, residual
from striate.networks.layers import Activation, Chain, Conv, Dropout, GlobalPool, Identity, Layer, Linear, Parallel, StochasticDepth


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
# fmt: on
DROP = 0.2  # of the last block but one step


def squeeze_excitation(channels: int, squeezed: int) -> Parallel:
    """Each map times a number in (0, 1) that is computed from the averages of all maps."""
    gate = Chain(
        pool=GlobalPool("avg", keep_axes=True),
        reduce=Conv(squeezed, 1),
        act=Activation("silu"),
        expand=Conv(channels, 1),
        sigmoid=Activation("sigmoid"),
    )
    return Parallel(gate=gate, maps=Identity(), merge="multiply")


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
    total = sum(row.repeats for row in STAGES)
    stages: dict[str, Layer] = {}
    in_channels, block = 32, 0
    for number, row in enumerate(STAGES, 1):
        blocks: dict[str, Layer] = {}
        for index in range(1, row.repeats + 1):
            blocks[f"block{index}"] = mb_conv(in_channels, row, row.stride if index == 1 else 1, DROP * block / total)
            in_channels, block = row.out_channels, block + 1
        stages[f"stage{number}"] = Chain(**blocks)
    return Chain(
        stem=conv_norm(32, 3, stride=2, act="silu"),
        **stages,
        unit=conv_norm(1280, 1, act="silu"),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.2), linear=Linear(num_classes)),
    )
