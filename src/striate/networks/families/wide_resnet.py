"""Wide ResNet: a residual network that grows in width where others grow in depth, and trains several times as fast for it.

Source: Zagoruyko and Komodakis, 2016, "Wide residual networks", arXiv:1605.07146, Table 1 (`wrn_*`, for CIFAR) and Table 8
(`wide_resnet*_2`, for ImageNet).
Departs from the source: the networks for ImageNet halve the size in the 3 x 3 convolution of a bottleneck, as torchvision has it; those for
CIFAR are the form without dropout.
Known size: 36,479,194 parameters and 5,243,328,768 MACs for WRN-28-10 at 32 x 32 and 10 classes; 68,883,240 and 11,398,021,120 for
Wide ResNet-50-2 at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import (
    average_head,
    blocks_with_act,
    bottleneck,
    preact_conv,
    preact_residual,
    projection,
    quartering_stem,
    residual,
)
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Layer

# fmt: off
CIFAR_WIDTHS = (16, 32, 64)     # of the three stages, times the factor, at 32, 16 and 8 places of a 32 x 32 image
WIDTHS =  (128, 256, 512, 1024)  # of the 3 x 3 convolutions of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image
REPEATS = {   # blocks in each stage
    50:   (  3,   4,   6,    3),
    101:  (  3,   4,  23,    3),
}
# fmt: on


def wrn(num_classes: int, depth: int, factor: int) -> Chain:
    """Wide ResNet for CIFAR, of `depth` = 6 n + 4 layers and `factor` times the width of a ResNet."""
    stages: dict[str, Layer] = {}
    for number, width in enumerate(CIFAR_WIDTHS, 1):
        blocks = {}
        for index in range(1, (depth - 4) // 6 + 1):
            stride = 2 if number > 1 and index == 1 else 1
            units = preact_conv(factor * width, 3, stride=stride), preact_conv(factor * width, 3)
            shortcut = Conv(factor * width, 1, stride=stride, bias=False) if index == 1 else None
            blocks[f"block{index}"] = preact_residual(*units, shortcut=shortcut)
        stages[f"stage{number}"] = Chain(**blocks)
    stem = Conv(16, 3, padding=1, bias=False)
    return Chain(stem=stem, **stages, norm=BatchNorm(), act=Activation("relu"), head=average_head(num_classes))


def wide_resnet_2(num_classes: int, depth: int) -> Chain:
    """Wide ResNet for ImageNet of 50 or 101 layers: bottlenecks whose 3 x 3 convolutions are twice as wide as ResNet's."""
    stages: dict[str, Layer] = {}
    for number, (width, repeats) in enumerate(zip(WIDTHS, REPEATS[depth], strict=True), 1):
        blocks = []
        for index in range(repeats):
            stride = 2 if number > 1 and index == 0 else 1
            body = bottleneck(width, 2 * width, stride=stride)
            blocks.append(residual(body, projection(2 * width, stride) if index == 0 else None))
        stages[f"stage{number}"] = blocks_with_act(blocks)
    return Chain(stem=quartering_stem(), **stages, head=average_head(num_classes))
