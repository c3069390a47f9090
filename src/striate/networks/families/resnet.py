"""ResNet: each block adds what it has learned to its own input, so that a hundred layers train as well as twenty.

Source: He, Zhang, Ren and Sun, 2016, "Deep residual learning for image recognition", arXiv:1512.03385, Table 1, option B.
Departs from the source: a bottleneck halves the size in its 3 x 3 convolution ("version 1.5"), as torchvision and timm have it; the
`_paper` forms halve it in the first 1 x 1, as published. Parameters are the same, MACs and receptive field are not.
Known size: 25,557,032 parameters and 4,089,184,256 MACs for 50 layers at 224 x 224 and 1,000 classes; 3,857,973,248 MACs as published.
"""

from __future__ import annotations

from striate.networks.families.parts import average_head, blocks_with_act, bottleneck, conv_norm, projection, quartering_stem, residual
from striate.networks.layers import Chain, Layer

# fmt: off
WIDTHS =     (64, 128, 256, 512)  # of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image
BASIC = {       # blocks in each stage
    18:      ( 2,   2,   2,   2),
    34:      ( 3,   4,   6,   3),
}
BOTTLENECK = {  # with four times the width between blocks
    50:      ( 3,   4,   6,   3),
    101:     ( 3,   4,  23,   3),
    152:     ( 3,   8,  36,   3),
}
# fmt: on


def basic(width: int, stride: int) -> Chain:
    """Two 3 x 3 convolutions."""
    return Chain(unit1=conv_norm(width, 3, stride=stride), unit2=conv_norm(width, 3, act=None))


def resnet(num_classes: int, depth: int, *, stride_first: bool = False) -> Chain:
    """ResNet of `depth` layers with weights: 18, 34, 50, 101 or 152."""
    stages: dict[str, Layer] = {}
    for number, width in enumerate(WIDTHS, 1):
        repeats = (BASIC | BOTTLENECK)[depth][number - 1]
        out_channels = width if depth in BASIC else 4 * width
        blocks = []
        for index in range(repeats):
            stride = 2 if number > 1 and index == 0 else 1
            deep = bottleneck(width, out_channels, stride=stride, stride_first=stride_first)
            body = basic(width, stride) if depth in BASIC else deep
            changes_shape = index == 0 and (number > 1 or depth in BOTTLENECK)
            blocks.append(residual(body, projection(out_channels, stride) if changes_shape else None))
        stages[f"stage{number}"] = blocks_with_act(blocks)
    return Chain(stem=quartering_stem(), **stages, head=average_head(num_classes))


def resnet_paper(num_classes: int, depth: int) -> Chain:
    """ResNet with bottlenecks as published: of 50, 101 or 152 layers."""
    return resnet(num_classes, depth, stride_first=True)
