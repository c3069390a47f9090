"""ResNets for 32 x 32 pixels: three stages of 16, 32 and 64 channels, of 20 to 1,202 layers; plain and pre-activation forms too.

Source: He, Zhang, Ren and Sun, 2016, arXiv:1512.03385, section 4.2 (`resnet*_cifar` and the plain nets, which are the same without
shortcuts); the same authors, 2016, "Identity mappings in deep residual networks", arXiv:1603.05027 (`preact_*`).
Departs from the source: pre-activation bottlenecks halve the size in their 3 x 3 convolution; the authors' later code does it in the
first 1 x 1, with 1.3 % fewer MACs. The first paper uses option A, shortcuts without parameters; `_b` has projections (option B).
Known size: 269,722 parameters and 40,551,040 MACs for 20 layers with option A; 1,703,258 parameters and 247,646,720 MACs for the
pre-activation form of 164 layers; at 10 classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from striate.networks.families.parts import average_head, blocks_with_act, conv_norm, preact_conv, preact_residual, projection, residual
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Layer, PadChannels

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTHS = (16, 32, 64)  # of the three stages, at 32, 16 and 8 places of a 32 x 32 image
Shortcut = Literal["pad", "project", "none"]  # options A and B, and no shortcut at all


def rows(repeats: int) -> Iterator[tuple[int, int, list[int]]]:
    """Number, width and the stride of each block, for the three stages."""
    for number, width in enumerate(WIDTHS, 1):
        yield number, width, [1 if number == 1 else 2, *[1] * (repeats - 1)]


def resnet_cifar(num_classes: int, depth: int, shortcut: Shortcut = "pad") -> Chain:
    """ResNet of `depth` = 6 n + 2 layers."""
    stages: dict[str, Layer] = {}
    for number, width, block_strides in rows((depth - 2) // 6):
        blocks: list[Layer] = []
        for stride in block_strides:
            body = Chain(unit1=conv_norm(width, 3, stride=stride), unit2=conv_norm(width, 3, act=None))
            if shortcut == "none":
                blocks.append(body)
            elif stride == 1:
                blocks.append(residual(body))
            else:
                blocks.append(residual(body, PadChannels(width, stride) if shortcut == "pad" else projection(width, stride)))
        stages[f"stage{number}"] = blocks_with_act(blocks)
    return Chain(stem=conv_norm(16, 3), **stages, head=average_head(num_classes))


def preact_resnet_cifar(num_classes: int, depth: int) -> Chain:
    """Pre-activation ResNet with two 3 x 3 convolutions in a block, of `depth` = 6 n + 2 layers."""
    stages: dict[str, Layer] = {}
    for number, width, block_strides in rows((depth - 2) // 6):
        blocks = {}
        for index, stride in enumerate(block_strides, 1):
            units = preact_conv(width, 3, stride=stride), preact_conv(width, 3)
            shortcut = Conv(width, 1, stride=stride, bias=False) if stride > 1 else None
            blocks[f"block{index}"] = preact_residual(*units, shortcut=shortcut)
        stages[f"stage{number}"] = Chain(**blocks)
    return preact_network(num_classes, stages)


def preact_bottleneck_resnet_cifar(num_classes: int, depth: int) -> Chain:
    """Pre-activation ResNet with bottlenecks, of `depth` = 9 n + 2 layers; between blocks the maps are four times as many."""
    stages: dict[str, Layer] = {}
    for number, width, block_strides in rows((depth - 2) // 9):
        blocks = {}
        for index, stride in enumerate(block_strides, 1):
            units = preact_conv(width, 1), preact_conv(width, 3, stride=stride), preact_conv(4 * width, 1)
            shortcut = Conv(4 * width, 1, stride=stride, bias=False) if index == 1 else None
            blocks[f"block{index}"] = preact_residual(*units, shortcut=shortcut)
        stages[f"stage{number}"] = Chain(**blocks)
    return preact_network(num_classes, stages)


def preact_network(num_classes: int, stages: dict[str, Layer]) -> Chain:
    """A bare convolution before the stages, the last normalization and ReLU behind them."""
    return Chain(
        stem=Conv(16, 3, padding=1, bias=False), **stages, norm=BatchNorm(), act=Activation("relu"), head=average_head(num_classes)
    )
