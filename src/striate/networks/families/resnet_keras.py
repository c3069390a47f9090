"""The ResNets of Keras' CIFAR-10 example: version 1 of depth 6 n + 2, version 2 of depth 9 n + 2.

Source: the `cifar10_resnet` example of Keras, after He et al., 2016, arXiv:1512.03385 and arXiv:1603.05027.
Departs from the source: the average of whole maps stands for the example's 8 x 8 pooling, the same at 32 x 32 pixels.
Differs from the papers: convolutions have a bias and TensorFlow's padding, batch normalization Keras' constants; projections have no
normalization. In version 2 they start from the block's raw input, bottlenecks are as wide as what comes in, so that the network
has about three times the published parameters, and depth 20 means two blocks a stage.
Known size: 273,066 parameters and 40,813,184 MACs for version 1 of 20 layers; 843,786 and 97,962,496 for version 2 of 29 layers.
"""

from __future__ import annotations

from striate.networks.families.parts import average_head, blocks_with_act, residual
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Layer

NORM = BatchNorm(eps=1e-3, momentum=0.01)  # Keras writes 0.99
RELU = Activation("relu")
WIDTHS = (16, 32, 64)  # of the three stages of version 1, at 32, 16 and 8 places of a 32 x 32 image
OUT_CHANNELS = (64, 128, 256)  # of those of version 2


def conv(out_channels: int, kernel_size: int, stride: int = 1) -> Conv:
    """A convolution with bias and TensorFlow's padding, which differs from "same" by stride 2 alone."""
    return Conv(out_channels, kernel_size, stride=stride, padding="tf_same" if stride > 1 else "same")


def conv_norm_act(out_channels: int, kernel_size: int, stride: int = 1) -> Chain:
    """Convolution, normalization, ReLU."""
    return Chain(conv=conv(out_channels, kernel_size, stride), norm=NORM, act=RELU)


def norm_act_conv(out_channels: int, kernel_size: int, stride: int = 1) -> Chain:
    """Normalization, ReLU, convolution."""
    return Chain(norm=NORM, act=RELU, conv=conv(out_channels, kernel_size, stride))


def resnet_keras(num_classes: int, depth: int) -> Chain:
    """Version 1."""
    stages: dict[str, Layer] = {}
    for number, width in enumerate(WIDTHS, 1):
        blocks = []
        for index in range((depth - 2) // 6):
            stride = 2 if number > 1 and index == 0 else 1
            body = Chain(unit1=conv_norm_act(width, 3, stride), unit2=Chain(conv=conv(width, 3), norm=NORM))
            blocks.append(residual(body, conv(width, 1, stride) if stride > 1 else None))
        stages[f"stage{number}"] = blocks_with_act(blocks)
    return Chain(stem=conv_norm_act(16, 3), **stages, head=average_head(num_classes))


def resnetv2_keras(num_classes: int, depth: int) -> Chain:
    """Version 2."""
    stages: dict[str, Layer] = {}
    in_channels = 16
    for number, out_channels in enumerate(OUT_CHANNELS, 1):
        blocks = {}
        for index in range((depth - 2) // 9):
            stride = 2 if number > 1 and index == 0 else 1
            bare = number == 1 and index == 0  # the stem has just normalized
            first = Chain(conv=conv(in_channels, 1, stride)) if bare else norm_act_conv(in_channels, 1, stride)
            body = Chain(unit1=first, unit2=norm_act_conv(in_channels, 3), unit3=norm_act_conv(out_channels, 1))
            blocks[f"block{index + 1}"] = residual(body, conv(out_channels, 1, stride) if index == 0 else None)
        stages[f"stage{number}"] = Chain(**blocks)
        in_channels = out_channels
    return Chain(stem=conv_norm_act(16, 3), **stages, norm=NORM, act=RELU, head=average_head(num_classes))
