"""MobileNet, small image classifiers: v1 of depthwise separable convolutions, v2 of inverted residual blocks.

Source: Howard et al., 2017, arXiv:1704.04861, Table 1 (v1); Sandler et al., 2018, arXiv:1801.04381v4, Table 2 (v2).
Departs from the source: v1 has ReLU6, as its authors' code and timm have; v2 dropout before the classifier, as common implementations
have it.
Known size: 4,231,976 parameters and 568,740,352 MACs (v1), 3,504,872 and 300,774,272 (v2), at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import average_head, conv_norm, residual
from striate.networks.layers import Chain, Dropout, GlobalPool, Layer, Linear


class Stage(NamedTuple):
    """One row of Table 2: `repeats` blocks, of which only the first has `stride`."""

    expansion: int  # hidden channels / input channels
    out_channels: int
    repeats: int
    stride: int


# fmt: off
#         expansion  out_channels  repeats  stride     output (C, H, W) of a 224 x 224 image
STAGES = (
    Stage(        1,           16,       1,      1),  # ( 16, 112, 112)
    Stage(        6,           24,       2,      2),  # ( 24,  56,  56)
    Stage(        6,           32,       3,      2),  # ( 32,  28,  28)
    Stage(        6,           64,       4,      2),  # ( 64,  14,  14)
    Stage(        6,           96,       3,      1),  # ( 96,  14,  14)
    Stage(        6,          160,       3,      2),  # (160,   7,   7)
    Stage(        6,          320,       1,      1),  # (320,   7,   7)
)
V1 = (  # out_channels, stride
    ( 64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)
# fmt: on


def mobilenet_v1(num_classes: int) -> Chain:
    """MobileNet of full width."""
    blocks: dict[str, Layer] = {}
    in_channels = 32
    for number, (out_channels, stride) in enumerate(V1, 1):
        blocks[f"block{number}"] = Chain(
            depthwise=conv_norm(in_channels, 3, stride=stride, groups=in_channels, act="relu6"),
            pointwise=conv_norm(out_channels, 1, act="relu6"),
        )
        in_channels = out_channels
    return Chain(stem=conv_norm(32, 3, stride=2, act="relu6"), **blocks, head=average_head(num_classes))


def inverted_residual(in_channels: int, out_channels: int, expansion: int, stride: int) -> Layer:
    """Expand, filter each channel, project back; with a shortcut where input and output agree."""
    hidden = in_channels * expansion
    expand = {"expand": conv_norm(hidden, 1, act="relu6")} if expansion > 1 else {}
    body = Chain(
        **expand,
        depthwise=conv_norm(hidden, 3, stride=stride, groups=hidden, act="relu6"),
        project=conv_norm(out_channels, 1, act=None),
    )
    return residual(body) if stride == 1 and in_channels == out_channels else body


def mobilenet_v2(num_classes: int) -> Chain:
    """MobileNetV2 of full width."""
    stages: dict[str, Layer] = {}
    in_channels = 32
    for number, row in enumerate(STAGES, 1):
        blocks: dict[str, Layer] = {}
        for index in range(1, row.repeats + 1):
            blocks[f"block{index}"] = inverted_residual(in_channels, row.out_channels, row.expansion, row.stride if index == 1 else 1)
            in_channels = row.out_channels
        stages[f"stage{number}"] = Chain(**blocks)
    return Chain(
        stem=conv_norm(32, 3, stride=2, act="relu6"),
        **stages,
        unit=conv_norm(1280, 1, act="relu6"),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.2), linear=Linear(num_classes)),
    )
