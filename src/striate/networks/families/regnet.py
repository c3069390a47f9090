"""RegNet: residual networks of grouped convolutions whose widths lie on a line, found by comparing whole families of networks.

Source: Radosavovic, Kosaraju, Girshick, He and Dollar, 2020, "Designing network design spaces", arXiv:2003.13678, Tables 3 and 4.
Departs from the source: the widths of X 400 MF and Y 800 MF are torchvision's, which rounds the line differently (400 and 784 in the last
stage, where the tables have 384 and 768).
Known size: 5,495,976 parameters and 413,812,608 MACs (X 400 MF), 4,344,144 and 401,842,848 (Y 400 MF), at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import average_head, blocks_with_act, conv_norm, projection, residual, squeeze_excitation
from striate.networks.layers import Chain, Identity, Layer, Parallel


class Size(NamedTuple):
    """One row of a table: blocks and widths of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image."""

    repeats: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    group_width: int


# fmt: off
X = {
    "400mf": Size((1, 2,  7, 12), (32,  64, 160,  400), 16),
    "800mf": Size((1, 3,  7,  5), (64, 128, 288,  672), 16),
    "1_6gf": Size((2, 4, 10,  2), (72, 168, 408,  912), 24),
    "3_2gf": Size((2, 6, 15,  2), (96, 192, 432, 1008), 48),
}
Y = {
    "400mf": Size((1, 3,  6,  6), (48, 104, 208,  440),  8),
    "800mf": Size((1, 3,  8,  2), (64, 144, 320,  784), 16),
    "1_6gf": Size((2, 6, 17,  2), (48, 120, 336,  888), 24),
    "3_2gf": Size((2, 5, 13,  1), (72, 216, 576, 1512), 24),
}
# fmt: on


def block(in_channels: int, width: int, stride: int, group_width: int, *, excite: bool) -> Parallel:
    """1 x 1, grouped 3 x 3, perhaps squeeze-and-excitation, 1 x 1, beside a projection where the shape changes."""
    parts: dict[str, Layer] = {
        "reduce": conv_norm(width, 1),
        "unit": conv_norm(width, 3, stride=stride, groups=width // group_width),
    }
    if excite:
        parts["excite"] = squeeze_excitation(width, round(in_channels / 4), act="relu")
    body = Chain(**parts, expand=conv_norm(width, 1, act=None))
    shortcut = Identity() if stride == 1 and in_channels == width else projection(width, stride)
    return residual(body, shortcut)


def regnet(num_classes: int, size: Size, *, excite: bool) -> Chain:
    """RegNetX, or with `excite` RegNetY."""
    stages: dict[str, Layer] = {}
    in_channels = 32
    for number, (repeats, width) in enumerate(zip(size.repeats, size.widths, strict=True), 1):
        blocks = []
        for index in range(repeats):
            blocks.append(block(in_channels, width, 2 if index == 0 else 1, size.group_width, excite=excite))
            in_channels = width
        stages[f"stage{number}"] = blocks_with_act(blocks)
    return Chain(stem=conv_norm(32, 3, stride=2), **stages, head=average_head(num_classes))


def regnet_x(num_classes: int, size: str) -> Chain:
    """RegNetX of the multiply-adds that `size` says."""
    return regnet(num_classes, X[size], excite=False)


def regnet_y(num_classes: int, size: str) -> Chain:
    """RegNetY, with squeeze-and-excitation to a quarter of a block's input."""
    return regnet(num_classes, Y[size], excite=True)
