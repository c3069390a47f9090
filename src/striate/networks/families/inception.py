"""Inception with batch normalization (v2) and Inception v3.

Source: Ioffe and Szegedy, 2015, arXiv:1502.03167, appendix, Figure 5 (`bn_inception_paper`, and `bn_inception` with the widths of the
weights that were released for Caffe); Szegedy et al., 2016, "Rethinking the inception architecture for computer vision",
arXiv:1512.00567, Table 1 and Figures 5 to 7 (`inception_v3`).
Departs from the source: `bn_inception_paper` has an ordinary 7 x 7 convolution in front. `bn_inception` has 128 channels after the
pooling of 4c and 4d where the paper has 96, and convolutions with bias. `inception_v3` is torchvision's: one true 5 x 5 convolution in
the modules of the first grid, where the paper has two of 3 x 3.
Known size: 11,295,240 parameters and 2,032,600,064 MACs (released), 11,194,984 and 2,018,851,840 (paper), at 224 x 224;
23,834,568 and 5,713,216,096 for v3 at 299 x 299; 1,000 classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from striate.networks.families.parts import HALVE, conv_norm, square, tall, wide
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Dropout, Flatten, GlobalPool, Layer, Linear, Parallel, Pool
from striate.networks.network import AuxiliaryHead

if TYPE_CHECKING:
    from collections.abc import Callable


class Module(NamedTuple):
    """One row of Figure 5: the widths of a module's branches."""

    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce_double: int
    conv_double: int
    pool: Literal["avg", "max"]
    project: int  # after the pooling


class Reduction(NamedTuple):
    """One row of Figure 5 with stride 2: neither a 1 x 1 branch nor a projection."""

    reduce3x3: int
    conv3x3: int
    reduce_double: int
    conv_double: int


def bn_inception_rows(project4: int) -> dict[str, Module | Reduction]:
    """The table; `project4` is the width after the pooling in 4c and 4d."""
    # fmt: off
    #         conv1x1  reduce3x3  conv3x3  reduce_double  conv_double   pool    project     output (C, H, W)
    return {
        "inception3a":
        Module(    64,        64,      64,            64,          96, "avg",        32),  # ( 256, 28, 28)
        "inception3b":
        Module(    64,        64,      96,            64,          96, "avg",        64),  # ( 320, 28, 28)
        "inception3c":
        Reduction(           128,     160,            64,          96),                    # ( 576, 14, 14)
        "inception4a":
        Module(   224,        64,      96,            96,         128, "avg",       128),  # ( 576, 14, 14)
        "inception4b":
        Module(   192,        96,     128,            96,         128, "avg",       128),  # ( 576, 14, 14)
        "inception4c":
        Module(   160,       128,     160,           128,         160, "avg",  project4),  # ( 576, 14, 14), released: 608
        "inception4d":
        Module(    96,       128,     192,           160,         192, "avg",  project4),  # ( 576, 14, 14), released: 608
        "inception4e":
        Reduction(           128,     192,           192,         256),                    # (1024,  7,  7), released: 1056
        "inception5a":
        Module(   352,       192,     320,           160,         224, "avg",       128),  # (1024,  7,  7)
        "inception5b":
        Module(   352,       192,     320,           192,         224, "max",       128),  # (1024,  7,  7)
    }
    # fmt: on


def unit_plain(out_channels: int, kernel_size: int, stride: int = 1) -> Chain:
    """Convolution without bias, batch normalization, ReLU."""
    return conv_norm(out_channels, kernel_size, stride=stride, padding=kernel_size // 2)


def unit_bias(out_channels: int, kernel_size: int, stride: int = 1) -> Chain:
    """The same with a bias, which the normalization takes away again; the released weights have it."""
    conv = Conv(out_channels, kernel_size, stride=stride, padding=kernel_size // 2)
    return Chain(conv=conv, norm=BatchNorm(), act=Activation("relu"))


def module(row: Module, unit: Callable[..., Chain]) -> Parallel:
    """1 x 1, 3 x 3, twice 3 x 3, and pooled."""
    return Parallel(
        branch1x1=unit(row.conv1x1, 1),
        branch3x3=Chain(reduce=unit(row.reduce3x3, 1), unit=unit(row.conv3x3, 3)),
        branch3x3_double=Chain(reduce=unit(row.reduce_double, 1), unit1=unit(row.conv_double, 3), unit2=unit(row.conv_double, 3)),
        branch_pool=Chain(pool=Pool(row.pool, 3, stride=1, padding=1, ceil_mode=True), project=unit(row.project, 1)),
        merge="concat",
    )


def reduction(row: Reduction, unit: Callable[..., Chain]) -> Parallel:
    """3 x 3, twice 3 x 3, and pooled, all with stride 2."""
    return Parallel(
        branch3x3=Chain(reduce=unit(row.reduce3x3, 1), unit=unit(row.conv3x3, 3, 2)),
        branch3x3_double=Chain(reduce=unit(row.reduce_double, 1), unit1=unit(row.conv_double, 3), unit2=unit(row.conv_double, 3, 2)),
        branch_pool=Pool("max", 3, stride=2, padding="tf_same"),  # on even sizes the released pooling, which does not fit odd ones
        merge="concat",
    )


def _bn_inception(num_classes: int, project4: int, unit: Callable[..., Chain]) -> Chain:
    halve = Pool("max", 3, stride=2, ceil_mode=True)
    rows = bn_inception_rows(project4)
    return Chain(
        stem=Chain(unit1=unit(64, 7, 2), pool1=halve, unit2=unit(64, 1), unit3=unit(192, 3), pool2=halve),
        **{name: module(row, unit) if isinstance(row, Module) else reduction(row, unit) for name, row in rows.items()},
        head=Chain(pool=GlobalPool("avg"), linear=Linear(num_classes)),
    )


def bn_inception(num_classes: int) -> Chain:
    """BN-Inception with the widths and biases of the released weights."""
    return _bn_inception(num_classes, 128, unit_bias)


def bn_inception_paper(num_classes: int) -> Chain:
    """BN-Inception with the widths of the paper."""
    return _bn_inception(num_classes, 96, unit_plain)


AVERAGE = Pool("avg", 3, stride=1, padding=1)


def module_a(project: int) -> Parallel:
    """Figure 5, with a true 5 x 5 convolution."""
    return Parallel(
        branch1x1=square(64, 1),
        branch5x5=Chain(reduce=square(48, 1), unit=square(64, 5, padding=2)),
        branch3x3_double=Chain(reduce=square(64, 1), unit1=square(96, 3, padding=1), unit2=square(96, 3, padding=1)),
        branch_pool=Chain(pool=AVERAGE, project=square(project, 1)),
        merge="concat",
    )


def reduction_a() -> Parallel:
    """From 35 x 35 to 17 x 17: Figure 10."""
    return Parallel(
        branch3x3=square(384, 3, stride=2),
        branch3x3_double=Chain(reduce=square(64, 1), unit1=square(96, 3, padding=1), unit2=square(96, 3, stride=2)),
        branch_pool=HALVE,
        merge="concat",
    )


def module_b(width: int) -> Parallel:
    """Figure 6 with n = 7: 7 x 7 kernels split into 1 x 7 and 7 x 1."""
    return Parallel(
        branch1x1=square(192, 1),
        branch7x7=Chain(reduce=square(width, 1), unit1=wide(width, 7), unit2=tall(192, 7)),
        branch7x7_double=Chain(
            reduce=square(width, 1), unit1=tall(width, 7), unit2=wide(width, 7), unit3=tall(width, 7), unit4=wide(192, 7)
        ),
        branch_pool=Chain(pool=AVERAGE, project=square(192, 1)),
        merge="concat",
    )


def reduction_b() -> Parallel:
    """From 17 x 17 to 8 x 8."""
    return Parallel(
        branch3x3=Chain(reduce=square(192, 1), unit=square(320, 3, stride=2)),
        branch7x7=Chain(reduce=square(192, 1), unit1=wide(192, 7), unit2=tall(192, 7), unit3=square(192, 3, stride=2)),
        branch_pool=HALVE,
        merge="concat",
    )


def module_c() -> Parallel:
    """Figure 7: 3 x 3 kernels split into 1 x 3 and 3 x 1 side by side."""
    return Parallel(
        branch1x1=square(320, 1),
        branch3x3=Chain(reduce=square(384, 1), split=Parallel(wide=wide(384, 3), tall=tall(384, 3), merge="concat")),
        branch3x3_double=Chain(
            reduce=square(448, 1),
            unit=square(384, 3, padding=1),
            split=Parallel(wide=wide(384, 3), tall=tall(384, 3), merge="concat"),
        ),
        branch_pool=Chain(pool=AVERAGE, project=square(192, 1)),
        merge="concat",
    )


def inception_v3(num_classes: int) -> Chain:
    """Inception v3, as torchvision and timm have it."""
    stem: dict[str, Layer] = {
        "unit1": square(32, 3, stride=2),  # (32, 149, 149) of a 299 x 299 image
        "unit2": square(32, 3),  # (32, 147, 147)
        "unit3": square(64, 3, padding=1),  # (64, 147, 147)
        "pool1": HALVE,  # (64, 73, 73)
        "unit4": square(80, 1),  # (80, 73, 73)
        "unit5": square(192, 3),  # (192, 71, 71)
        "pool2": HALVE,  # (192, 35, 35)
    }
    return Chain(
        stem=Chain(**stem),
        mixed5b=module_a(32),  # (256, 35, 35)
        mixed5c=module_a(64),  # (288, 35, 35)
        mixed5d=module_a(64),  # (288, 35, 35)
        mixed6a=reduction_a(),  # (768, 17, 17)
        mixed6b=module_b(128),  # (768, 17, 17)
        mixed6c=module_b(160),  # (768, 17, 17)
        mixed6d=module_b(160),  # (768, 17, 17)
        mixed6e=module_b(192),  # (768, 17, 17)
        mixed7a=reduction_b(),  # (1280, 8, 8)
        mixed7b=module_c(),  # (2048, 8, 8)
        mixed7c=module_c(),  # (2048, 8, 8)
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.5), linear=Linear(num_classes)),
    )


def inception_v3_heads(num_classes: int) -> tuple[AuxiliaryHead, ...]:
    """The auxiliary classifier on the last 17 x 17 map, with 0.4 of the loss."""
    head = Chain(
        pool=Pool("avg", 5, stride=3),  # (768, 5, 5)
        reduce=square(128, 1),
        unit=square(768, 5),  # (768, 1, 1)
        flatten=Flatten(),
        linear=Linear(num_classes),
    )
    return (AuxiliaryHead("mixed6e", head, 0.4),)
