"""VGG: stacks of 3 x 3 convolutions between halvings of the size, and a wide dense head.

Source: Simonyan and Zisserman, 2015, "Very deep convolutional networks for large-scale image recognition", arXiv:1409.1556, Table 1,
columns A, B, D and E; with batch normalization (`_bn`) as torchvision has them.
Departs from the source: where the last maps are not 7 x 7 (an input of 224 to 255 pixels has such), they are averaged or repeated to
7 x 7, as torchvision does, so that weights fit at any size; `net.head("global-pool")` is lighter for small pictures.
Known size: 138,357,544 parameters and 15,470,264,320 MACs for 16 layers at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import hidden_head
from striate.networks.layers import Activation, AdaptivePool, BatchNorm, Chain, Conv, Layer, Pool

# fmt: off
WIDTHS =      (64, 128, 256, 512, 512)  # of the five stages; each halves a 224 x 224 image: 112, 56, 28, 14, 7
DEPTHS = {  # convolutions in each stage
    11:       ( 1,   1,   2,   2,   2),  # A
    13:       ( 2,   2,   2,   2,   2),  # B
    16:       ( 2,   2,   3,   3,   3),  # D
    19:       ( 2,   2,   4,   4,   4),  # E
}
# fmt: on


def conv3x3(out_channels: int, *, norm: bool) -> Chain:
    """A 3 x 3 convolution, perhaps batch normalization, and ReLU. The convolution keeps its bias, as torchvision has it."""
    parts: dict[str, Layer] = {"conv": Conv(out_channels, 3, padding=1)}
    if norm:
        parts["norm"] = BatchNorm()
    return Chain(**parts, act=Activation("relu"))


def vgg(num_classes: int, depth: int, *, norm: bool = False) -> Chain:
    """VGG of `depth` layers with weights: 11, 13, 16 or 19."""
    stages = {}
    for i, (width, repeats) in enumerate(zip(WIDTHS, DEPTHS[depth], strict=True), 1):
        units = {f"unit{j}": conv3x3(width, norm=norm) for j in range(1, repeats + 1)}
        stages[f"stage{i}"] = Chain(**units, pool=Pool("max", 2))
    return Chain(
        **stages,
        head=Chain(pool=AdaptivePool(7), **dict(hidden_head(num_classes).children)),
    )
