"""Inception-v4, and Inception-ResNet-v2, in which Inception modules add to their own input.

Source: Szegedy, Ioffe, Vanhoucke and Alemi, 2017, "Inception-v4, Inception-ResNet and the impact of residual connections on learning",
arXiv:1602.07261, Figures 3 to 9 (v4) and 15 to 18 (Inception-ResNet-v2).
Departs from the source: Inception-ResNet-v2 is that of the authors' code and of timm: Inception-v3's stem with one further module, sums
of 320, 1,088 and 2,080 maps, bodies scaled by 0.17, 0.1 and 0.2, and a tenth block of 8 x 8 without scale or ReLU.
Known size: 42,679,816 parameters and 12,253,974,624 MACs (v4), 55,843,464 and 13,155,794,016 (Inception-ResNet-v2), at 299 x 299 and
1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import HALVE, residual, square, tall, wide
from striate.networks.layers import Activation, Chain, Conv, Dropout, GlobalPool, Layer, Linear, Parallel, Pool, Scale

AVERAGE = Pool("avg", 3, stride=1, padding=1, count_padding=False)


def head(num_classes: int) -> Chain:
    """The average of each map, dropout, and a linear classifier."""
    return Chain(pool=GlobalPool("avg"), dropout=Dropout(0.2), linear=Linear(num_classes))


def numbered(block: Layer, repeats: int) -> Chain:
    """`block` several times in a row."""
    return Chain(**{f"block{i}": block for i in range(1, repeats + 1)})


# ---- Inception-v4


def stem_v4() -> Chain:
    """Figure 3: (384, 35, 35) of a 299 x 299 image."""
    split3 = Parallel(branch_pool=HALVE, branch3x3=square(96, 3, stride=2), merge="concat")  # (160, 73, 73)
    split4 = Parallel(
        branch3x3=Chain(reduce=square(64, 1), unit=square(96, 3)),
        branch7x7=Chain(reduce=square(64, 1), unit1=wide(64, 7), unit2=tall(64, 7), unit3=square(96, 3)),
        merge="concat",
    )  # (192, 71, 71)
    split5 = Parallel(branch3x3=square(192, 3, stride=2), branch_pool=HALVE, merge="concat")
    units = {"unit1": square(32, 3, stride=2), "unit2": square(32, 3), "unit3": square(64, 3, padding=1)}
    return Chain(**units, split3=split3, split4=split4, split5=split5)


def module_a() -> Parallel:
    """Figure 4."""
    return Parallel(
        branch1x1=square(96, 1),
        branch3x3=Chain(reduce=square(64, 1), unit=square(96, 3, padding=1)),
        branch3x3_double=Chain(reduce=square(64, 1), unit1=square(96, 3, padding=1), unit2=square(96, 3, padding=1)),
        branch_pool=Chain(pool=AVERAGE, project=square(96, 1)),
        merge="concat",
    )


def reduction_a(reduced: int, middle: int, out_channels: int) -> Parallel:
    """Figure 7, from 35 x 35 to 17 x 17, with k, l and m of Table 1; n is 384."""
    return Parallel(
        branch3x3=square(384, 3, stride=2),
        branch3x3_double=Chain(reduce=square(reduced, 1), unit1=square(middle, 3, padding=1), unit2=square(out_channels, 3, stride=2)),
        branch_pool=HALVE,
        merge="concat",
    )


def module_b() -> Parallel:
    """Figure 5."""
    return Parallel(
        branch1x1=square(384, 1),
        branch7x7=Chain(reduce=square(192, 1), unit1=wide(224, 7), unit2=tall(256, 7)),
        branch7x7_double=Chain(reduce=square(192, 1), unit1=tall(192, 7), unit2=wide(224, 7), unit3=tall(224, 7), unit4=wide(256, 7)),
        branch_pool=Chain(pool=AVERAGE, project=square(128, 1)),
        merge="concat",
    )


def reduction_b_v4() -> Parallel:
    """Figure 8, from 17 x 17 to 8 x 8."""
    return Parallel(
        branch3x3=Chain(reduce=square(192, 1), unit=square(192, 3, stride=2)),
        branch7x7=Chain(reduce=square(256, 1), unit1=wide(256, 7), unit2=tall(320, 7), unit3=square(320, 3, stride=2)),
        branch_pool=HALVE,
        merge="concat",
    )


def module_c() -> Parallel:
    """Figure 6."""
    split = Parallel(wide=wide(256, 3), tall=tall(256, 3), merge="concat")
    return Parallel(
        branch1x1=square(256, 1),
        branch3x3=Chain(reduce=square(384, 1), split=split),
        branch3x3_double=Chain(reduce=square(384, 1), unit1=tall(448, 3), unit2=wide(512, 3), split=split),
        branch_pool=Chain(pool=AVERAGE, project=square(256, 1)),
        merge="concat",
    )


def inception_v4(num_classes: int) -> Chain:
    """Inception-v4."""
    return Chain(
        stem=stem_v4(),
        stage_a=numbered(module_a(), 4),  # (384, 35, 35)
        reduction_a=reduction_a(192, 224, 256),  # (1024, 17, 17)
        stage_b=numbered(module_b(), 7),
        reduction_b=reduction_b_v4(),  # (1536, 8, 8)
        stage_c=numbered(module_c(), 3),
        head=head(num_classes),
    )


# ---- Inception-ResNet-v2


def mixed() -> Parallel:
    """The module behind the stem: (320, 35, 35)."""
    return Parallel(
        branch1x1=square(96, 1),
        branch5x5=Chain(reduce=square(48, 1), unit=square(64, 5, padding=2)),
        branch3x3_double=Chain(reduce=square(64, 1), unit1=square(96, 3, padding=1), unit2=square(96, 3, padding=1)),
        branch_pool=Chain(pool=AVERAGE, project=square(64, 1)),
        merge="concat",
    )


def residual_module(branches: Parallel, out_channels: int, scale: float | None) -> Parallel:
    """`branches`, a 1 x 1 convolution of their maps, and a constant `scale`, added to the input."""
    body: dict[str, Layer] = {"mixed": branches, "expand": Conv(out_channels, 1)}
    if scale is not None:
        body["scale"] = Scale(scale)
    return residual(Chain(**body))


def module35() -> Chain:
    """Figure 16."""
    branches = Parallel(
        branch1x1=square(32, 1),
        branch3x3=Chain(reduce=square(32, 1), unit=square(32, 3, padding=1)),
        branch3x3_double=Chain(reduce=square(32, 1), unit1=square(48, 3, padding=1), unit2=square(64, 3, padding=1)),
        merge="concat",
    )
    return Chain(add=residual_module(branches, 320, 0.17), act=Activation("relu"))


def module17() -> Chain:
    """Figure 17."""
    deep = Chain(reduce=square(128, 1), unit1=wide(160, 7), unit2=tall(192, 7))
    branches = Parallel(branch1x1=square(192, 1), branch7x7=deep, merge="concat")
    return Chain(add=residual_module(branches, 1088, 0.1), act=Activation("relu"))


def module8(scale: float | None) -> Parallel:
    """Figure 19, without its ReLU."""
    deep = Chain(reduce=square(192, 1), unit1=wide(224, 3), unit2=tall(256, 3))
    branches = Parallel(branch1x1=square(192, 1), branch3x3=deep, merge="concat")
    return residual_module(branches, 2080, scale)


def reduction_b_resnet() -> Parallel:
    """Figure 18, from 17 x 17 to 8 x 8."""
    return Parallel(
        branch3x3=Chain(reduce=square(256, 1), unit=square(384, 3, stride=2)),
        branch3x3_narrow=Chain(reduce=square(256, 1), unit=square(288, 3, stride=2)),
        branch3x3_double=Chain(reduce=square(256, 1), unit1=square(288, 3, padding=1), unit2=square(320, 3, stride=2)),
        branch_pool=HALVE,
        merge="concat",
    )


def inception_resnet_v2(num_classes: int) -> Chain:
    """Inception-ResNet-v2."""
    units = {"unit1": square(32, 3, stride=2), "unit2": square(32, 3), "unit3": square(64, 3, padding=1)}
    return Chain(
        stem=Chain(**units, pool1=HALVE, unit4=square(80, 1), unit5=square(192, 3), pool2=HALVE),
        mixed=mixed(),  # (320, 35, 35)
        stage_a=numbered(module35(), 10),
        reduction_a=reduction_a(256, 256, 384),  # (1088, 17, 17)
        stage_b=numbered(module17(), 20),
        reduction_b=reduction_b_resnet(),  # (2080, 8, 8)
        stage_c=numbered(Chain(add=module8(0.2), act=Activation("relu")), 9),
        last=module8(None),
        unit=square(1536, 1),
        head=head(num_classes),
    )
