"""GoogLeNet, the winner of ILSVRC-2014: modules of four branches side by side.

Source: Szegedy et al., 2015, "Going deeper with convolutions", arXiv:1409.4842, Table 1 and Figure 3.
Departs from the source: `googlenet` is torchvision's: batch normalization instead of biases and response normalization, 3 x 3 kernels in
the 5 x 5 branch, 2 x 2 windows in the fourth pooling, dropout 0.2; its auxiliary heads pool as the paper's do. In `googlenet_paper`
poolings round sizes up, which the paper's sizes need, and response normalization has Caffe's constants, for the paper prints none.
Known size: 6,624,904 parameters and 1,498,376,192 MACs; 6,998,552 and 1,582,671,872 (paper); at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from striate.networks.families.parts import conv_act, conv_norm
from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Linear,
    LocalResponseNorm,
    Parallel,
    Pool,
)
from striate.networks.network import AuxiliaryHead

if TYPE_CHECKING:
    from collections.abc import Callable


class Inception(NamedTuple):
    """One row of Table 1: the widths of a module's branches."""

    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce5x5: int
    conv5x5: int
    project: int  # after the pooling


# fmt: off
#                           conv1x1  reduce3x3  conv3x3  reduce5x5  conv5x5  project     output (C, H, W) of a 224 x 224 image
STAGE3 = {
    "inception3a": Inception(    64,        96,     128,        16,      32,      32),  # ( 256, 28, 28)
    "inception3b": Inception(   128,       128,     192,        32,      96,      64),  # ( 480, 28, 28)
}
STAGE4 = {
    "inception4a": Inception(   192,        96,     208,        16,      48,      64),  # ( 512, 14, 14)
    "inception4b": Inception(   160,       112,     224,        24,      64,      64),  # ( 512, 14, 14)
    "inception4c": Inception(   128,       128,     256,        24,      64,      64),  # ( 512, 14, 14)
    "inception4d": Inception(   112,       144,     288,        32,      64,      64),  # ( 528, 14, 14)
    "inception4e": Inception(   256,       160,     320,        32,     128,     128),  # ( 832, 14, 14)
}
STAGE5 = {
    "inception5a": Inception(   256,       160,     320,        32,     128,     128),  # ( 832,  7,  7)
    "inception5b": Inception(   384,       192,     384,        48,     128,     128),  # (1024,  7,  7)
}
# fmt: on

NORM = BatchNorm(eps=1e-3)


def unit_bn(out_channels: int, kernel_size: int, stride: int = 1) -> Chain:
    """Convolution, batch normalization, ReLU."""
    return conv_norm(out_channels, kernel_size, stride=stride, padding=kernel_size // 2, norm=NORM)


def unit_bias(out_channels: int, kernel_size: int, stride: int = 1) -> Chain:
    """Convolution with bias, ReLU."""
    return conv_act(out_channels, kernel_size, stride=stride, padding=kernel_size // 2)


def inception(row: Inception, unit: Callable[..., Chain], kernel5x5: int) -> Parallel:
    """Figure 2(b): 1 x 1, 3 x 3, 5 x 5 and pooled branches, joined."""
    return Parallel(
        branch1x1=unit(row.conv1x1, 1),
        branch3x3=Chain(reduce=unit(row.reduce3x3, 1), unit=unit(row.conv3x3, 3)),
        branch5x5=Chain(reduce=unit(row.reduce5x5, 1), unit=unit(row.conv5x5, kernel5x5)),
        branch_pool=Chain(pool=Pool("max", 3, stride=1, padding=1, ceil_mode=True), project=unit(row.project, 1)),
        merge="concat",
    )


def modules(rows: dict[str, Inception], unit: Callable[..., Chain], kernel5x5: int) -> dict[str, Layer]:
    """The modules of one stage, by name."""
    return {name: inception(row, unit, kernel5x5) for name, row in rows.items()}


def halve(window: int = 3) -> Pool:
    """Maximum pooling with stride 2, sizes rounded up."""
    return Pool("max", window, stride=2, ceil_mode=True)


def googlenet(num_classes: int) -> Chain:
    """GoogLeNet with batch normalization, as torchvision has it."""
    return Chain(
        stem=Chain(unit1=unit_bn(64, 7, 2), pool1=halve(), unit2=unit_bn(64, 1), unit3=unit_bn(192, 3), pool2=halve()),
        **modules(STAGE3, unit_bn, 3),
        pool3=halve(),
        **modules(STAGE4, unit_bn, 3),
        pool4=halve(2),
        **modules(STAGE5, unit_bn, 3),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.2), linear=Linear(num_classes)),
    )


def googlenet_paper(num_classes: int) -> Chain:
    """GoogLeNet as published."""
    respond = LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1.0, divide_alpha=True)
    return Chain(
        stem=Chain(
            unit1=unit_bias(64, 7, 2),
            pool1=halve(),
            norm1=respond,
            unit2=unit_bias(64, 1),
            unit3=unit_bias(192, 3),
            norm2=respond,
            pool2=halve(),
        ),
        **modules(STAGE3, unit_bias, 5),
        pool3=halve(),
        **modules(STAGE4, unit_bias, 5),
        pool4=halve(),
        **modules(STAGE5, unit_bias, 5),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.4), linear=Linear(num_classes)),
    )


def auxiliary_head(num_classes: int, unit: Callable[..., Chain]) -> Chain:
    """A small classifier on a map of the fourth stage, used while training."""
    return Chain(
        pool=Pool("avg", 5, stride=3),
        reduce=unit(128, 1),
        flatten=Flatten(),
        hidden=Linear(1024),
        act=Activation("relu"),
        dropout=Dropout(0.7),
        linear=Linear(num_classes),
    )


def auxiliary_heads(num_classes: int, unit: Callable[..., Chain]) -> tuple[AuxiliaryHead, ...]:
    """The two auxiliary classifiers, each with 0.3 of the loss."""
    return tuple(AuxiliaryHead(at, auxiliary_head(num_classes, unit), 0.3) for at in ("inception4a", "inception4d"))


def googlenet_heads(num_classes: int) -> tuple[AuxiliaryHead, ...]:
    """The auxiliary classifiers of `googlenet`."""
    return auxiliary_heads(num_classes, unit_bn)


def googlenet_paper_heads(num_classes: int) -> tuple[AuxiliaryHead, ...]:
    """The auxiliary classifiers of `googlenet_paper`."""
    return auxiliary_heads(num_classes, unit_bias)
