"""DenseNet: each layer reads the maps of all layers before it in its block, and adds a few of its own.

Source: Huang, Liu, van der Maaten and Weinberger, 2017, "Densely connected convolutional networks", arXiv:1608.06993, Table 1 and
section 4.1 (the forms for CIFAR).
Departs from the source: no dropout, which the paper uses on CIFAR where it does not augment.
Known size: 7,978,856 parameters and 2,834,161,664 MACs for 121 layers at 224 x 224 and 1,000 classes; 769,162 parameters and
287,929,692 MACs for DenseNet-BC of 100 layers and growth 12 at 32 x 32 and 10 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import average_head, preact_conv, quartering_stem
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Identity, Layer, Parallel, Pool

# fmt: off
#           layers in each dense block, at 56, 28, 14 and 7 places of a 224 x 224 image
DEPTHS = {
    121:    (6, 12, 24, 16),
    169:    (6, 12, 32, 32),
    201:    (6, 12, 48, 32),
}
# fmt: on


def dense_layer(growth: int, *, bottleneck: bool) -> Parallel:
    """The input joined with `growth` new maps computed from it; with `bottleneck`, via four times as many."""
    units = {"reduce": preact_conv(4 * growth, 1)} if bottleneck else {}
    return Parallel(shortcut=Identity(), body=Chain(**units, unit=preact_conv(growth, 3)), merge="concat")


def dense_stages(in_channels: int, repeats: tuple[int, ...], growth: int, *, bottleneck: bool, keep: float) -> dict[str, Layer]:
    """Dense blocks with transitions between them that halve the size and `keep` this share of the maps; then normalization and ReLU."""
    stages: dict[str, Layer] = {}
    for number, count in enumerate(repeats, 1):
        blocks = {f"block{i}": dense_layer(growth, bottleneck=bottleneck) for i in range(1, count + 1)}
        stages[f"stage{number}"] = Chain(**blocks)
        if number < len(repeats):
            in_channels = int((in_channels + count * growth) * keep)
            stages[f"transition{number}"] = Chain(**dict(preact_conv(in_channels, 1).children), pool=Pool("avg", 2))
    return {**stages, "norm": BatchNorm(), "act": Activation("relu")}


def densenet(num_classes: int, depth: int) -> Chain:
    """DenseNet-BC for ImageNet, growth 32: of 121, 169 or 201 layers with weights."""
    stages = dense_stages(64, DEPTHS[depth], 32, bottleneck=True, keep=0.5)
    return Chain(stem=quartering_stem(), **stages, head=average_head(num_classes))


def densenet_cifar(num_classes: int, depth: int, growth: int) -> Chain:
    """DenseNet for CIFAR: three blocks of (depth - 4) / 3 layers."""
    stages = dense_stages(16, ((depth - 4) // 3,) * 3, growth, bottleneck=False, keep=1)
    return Chain(stem=Conv(16, 3, padding=1, bias=False), **stages, head=average_head(num_classes))


def densenet_bc_cifar(num_classes: int, depth: int, growth: int) -> Chain:
    """DenseNet-BC for CIFAR: bottlenecks, half the maps kept between blocks, three blocks of (depth - 4) / 6 layers of two convolutions."""
    stages = dense_stages(2 * growth, ((depth - 4) // 6,) * 3, growth, bottleneck=True, keep=0.5)
    return Chain(stem=Conv(2 * growth, 3, padding=1, bias=False), **stages, head=average_head(num_classes))
