"""ResNet v2: normalization and activation before each convolution, so that nothing stands in the way of the shortcuts.

Source: He, Zhang, Ren and Sun, 2016, "Identity mappings in deep residual networks", arXiv:1603.05027.
Departs from the source: a bottleneck halves the size in its 3 x 3 convolution, and the classifier is a 1 x 1 convolution, as timm has them.
Known size: 25,549,352 parameters and 4,089,184,256 MACs for 50 layers at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import preact_conv, preact_residual
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Flatten, GlobalPool, Layer, Pool

# fmt: off
WIDTHS =  (64, 128, 256, 512)  # of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image
REPEATS = ( 3,   4,   6,   3)  # blocks in each stage
# fmt: on


def resnetv2_50(num_classes: int) -> Chain:
    """Pre-activation ResNet of 50 layers with weights."""
    stages: dict[str, Layer] = {}
    for number, (width, repeats) in enumerate(zip(WIDTHS, REPEATS, strict=True), 1):
        blocks = {}
        for index in range(1, repeats + 1):
            stride = 2 if number > 1 and index == 1 else 1
            units = preact_conv(width, 1), preact_conv(width, 3, stride=stride), preact_conv(4 * width, 1)
            shortcut = Conv(4 * width, 1, stride=stride, bias=False) if index == 1 else None
            blocks[f"block{index}"] = preact_residual(*units, shortcut=shortcut)
        stages[f"stage{number}"] = Chain(**blocks)
    return Chain(
        stem=Chain(conv=Conv(64, 7, stride=2, padding=3, bias=False), pool=Pool("max", 3, stride=2, padding=1)),
        **stages,
        norm=BatchNorm(),
        act=Activation("relu"),
        head=Chain(pool=GlobalPool("avg", keep_axes=True), conv=Conv(num_classes, 1), flatten=Flatten()),
    )
