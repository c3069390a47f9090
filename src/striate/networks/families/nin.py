"""Network in Network: each convolution is followed by a small perceptron at every place, and the maps' averages are the output.

Source: Lin, Chen and Yan, 2014, "Network in network", arXiv:1312.4400; layer sizes as in the authors' Caffe models.
Departs from the source: nothing known. The paper gives no sizes; pooling rounds sizes up, as Caffe does.
Known size: 966,986 parameters and 222,486,528 MACs at 32 x 32 and 10 classes; 7,595,176 parameters and 1,100,188,800 MACs at
224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import conv_act
from striate.networks.layers import Chain, Dropout, GlobalPool, Layer, Pool


class MlpConv(NamedTuple):
    """A convolution and two 1 x 1 convolutions of the given widths, each with ReLU; what comes after them."""

    kernel_size: int
    stride: int
    padding: int
    widths: tuple[int, int, int]
    after: tuple[Layer, ...]


MAX, AVERAGE = Pool("max", 3, stride=2, ceil_mode=True), Pool("avg", 3, stride=2, ceil_mode=True)
HALF = Dropout(0.5)


def cifar_stages(num_classes: int) -> tuple[MlpConv, ...]:
    """Three stages for 32 x 32 pixels."""
    # fmt: off
    #           kernel_size  stride  padding  widths                   after               output (C, H, W)
    return (
        MlpConv(          5,      1,       2, (192, 160,          96), (MAX, HALF)),     # ( 96, 16, 16)
        MlpConv(          5,      1,       2, (192, 192,         192), (AVERAGE, HALF)), # (192,  8,  8)
        MlpConv(          3,      1,       1, (192, 192, num_classes), ()),              # (  K,  8,  8)
    )
    # fmt: on


def imagenet_stages(num_classes: int) -> tuple[MlpConv, ...]:
    """Four stages for 224 x 224 pixels."""
    # fmt: off
    #           kernel_size  stride  padding  widths                     after           output (C, H, W)
    return (
        MlpConv(         11,      4,       0, (  96,   96,          96), (MAX,)),      # (  96, 27, 27)
        MlpConv(          5,      1,       2, ( 256,  256,         256), (MAX,)),      # ( 256, 13, 13)
        MlpConv(          3,      1,       1, ( 384,  384,         384), (MAX, HALF)), # ( 384,  6,  6)
        MlpConv(          3,      1,       1, (1024, 1024, num_classes), ()),          # (   K,  6,  6)
    )
    # fmt: on


def mlp_conv(row: MlpConv) -> Chain:
    """The layers of one row."""
    first, second, third = row.widths
    return Chain(
        unit1=conv_act(first, row.kernel_size, stride=row.stride, padding=row.padding),
        unit2=conv_act(second, 1),
        unit3=conv_act(third, 1),
        **{layer.role: layer for layer in row.after},
    )


def network_in_network(stages: tuple[MlpConv, ...]) -> Chain:
    """The stages, and the average of each of the last maps."""
    return Chain(**{f"stage{i}": mlp_conv(row) for i, row in enumerate(stages, 1)}, head=Chain(pool=GlobalPool("avg")))


def nin(num_classes: int) -> Chain:
    """Network in Network for ImageNet."""
    return network_in_network(imagenet_stages(num_classes))


def nin_cifar(num_classes: int) -> Chain:
    """Network in Network for CIFAR."""
    return network_in_network(cifar_stages(num_classes))
