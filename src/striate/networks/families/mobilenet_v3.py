"""MobileNetV3, found by search for phones: inverted residual blocks, some with squeeze-and-excitation, and piecewise linear activations.

Source: Howard et al., 2019, "Searching for MobileNetV3", arXiv:1905.02244, Tables 1 and 2.
Departs from the source: nothing known; dropout is 0.2, as in torchvision.
Known size: 5,483,032 parameters and 216,589,760 MACs (large), 2,542,856 and 56,510,400 (small), at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from striate.networks.families.parts import conv_norm, residual, squeeze_excitation
from striate.networks.layers import Activation, BatchNorm, Chain, Dropout, GlobalPool, Layer, Linear


class Block(NamedTuple):
    """One row of a table."""

    kernel_size: int
    hidden: int  # channels inside
    out_channels: int
    excite: bool
    act: Literal["relu", "hard_swish"]
    stride: int


# fmt: off
#         kernel_size  hidden  out_channels  excite  act           stride     output (C, H, W) of a 224 x 224 image
LARGE = (
    Block(          3,     16,           16,  False, "relu",            1),  # ( 16, 112, 112)
    Block(          3,     64,           24,  False, "relu",            2),  # ( 24,  56,  56)
    Block(          3,     72,           24,  False, "relu",            1),
    Block(          5,     72,           40,   True, "relu",            2),  # ( 40,  28,  28)
    Block(          5,    120,           40,   True, "relu",            1),
    Block(          5,    120,           40,   True, "relu",            1),
    Block(          3,    240,           80,  False, "hard_swish",      2),  # ( 80,  14,  14)
    Block(          3,    200,           80,  False, "hard_swish",      1),
    Block(          3,    184,           80,  False, "hard_swish",      1),
    Block(          3,    184,           80,  False, "hard_swish",      1),
    Block(          3,    480,          112,   True, "hard_swish",      1),  # (112,  14,  14)
    Block(          3,    672,          112,   True, "hard_swish",      1),
    Block(          5,    672,          160,   True, "hard_swish",      2),  # (160,   7,   7)
    Block(          5,    960,          160,   True, "hard_swish",      1),
    Block(          5,    960,          160,   True, "hard_swish",      1),
)
SMALL = (
    Block(          3,     16,           16,   True, "relu",            2),  # ( 16,  56,  56)
    Block(          3,     72,           24,  False, "relu",            2),  # ( 24,  28,  28)
    Block(          3,     88,           24,  False, "relu",            1),
    Block(          5,     96,           40,   True, "hard_swish",      2),  # ( 40,  14,  14)
    Block(          5,    240,           40,   True, "hard_swish",      1),
    Block(          5,    240,           40,   True, "hard_swish",      1),
    Block(          5,    120,           48,   True, "hard_swish",      1),  # ( 48,  14,  14)
    Block(          5,    144,           48,   True, "hard_swish",      1),
    Block(          5,    288,           96,   True, "hard_swish",      2),  # ( 96,   7,   7)
    Block(          5,    576,           96,   True, "hard_swish",      1),
    Block(          5,    576,           96,   True, "hard_swish",      1),
)
# fmt: on
NORM = BatchNorm(eps=1e-3, momentum=0.01)


def block(in_channels: int, row: Block) -> Layer:
    """Expand, filter each channel, perhaps weigh the channels, project back; with a shortcut where input and output agree."""
    squeezed = max(8, (row.hidden // 4 + 4) // 8 * 8)
    if squeezed < 0.9 * (row.hidden // 4):  # rounding takes no more than a tenth away
        squeezed += 8
    parts: dict[str, Layer] = {}
    if row.hidden != in_channels:
        parts["expand"] = conv_norm(row.hidden, 1, act=row.act, norm=NORM)
    parts["depthwise"] = conv_norm(row.hidden, row.kernel_size, stride=row.stride, groups=row.hidden, act=row.act, norm=NORM)
    if row.excite:
        parts["excite"] = squeeze_excitation(row.hidden, squeezed, act="relu", gate="hard_sigmoid")
    body = Chain(**parts, project=conv_norm(row.out_channels, 1, act=None, norm=NORM))
    return residual(body) if row.stride == 1 and in_channels == row.out_channels else body


def mobilenet_v3(num_classes: int, rows: tuple[Block, ...], hidden: int) -> Chain:
    """MobileNetV3 of the blocks in `rows`, with `hidden` units before the classifier."""
    blocks: dict[str, Layer] = {}
    in_channels = 16
    for number, row in enumerate(rows, 1):
        blocks[f"block{number}"] = block(in_channels, row)
        in_channels = row.out_channels
    dense = {"hidden": Linear(hidden), "act": Activation("hard_swish"), "dropout": Dropout(0.2), "linear": Linear(num_classes)}
    return Chain(
        stem=conv_norm(16, 3, stride=2, act="hard_swish", norm=NORM),
        **blocks,
        unit=conv_norm(6 * in_channels, 1, act="hard_swish", norm=NORM),
        head=Chain(pool=GlobalPool("avg"), **dense),
    )


def mobilenet_v3_large(num_classes: int) -> Chain:
    """MobileNetV3-Large."""
    return mobilenet_v3(num_classes, LARGE, 1280)


def mobilenet_v3_small(num_classes: int) -> Chain:
    """MobileNetV3-Small."""
    return mobilenet_v3(num_classes, SMALL, 1024)
