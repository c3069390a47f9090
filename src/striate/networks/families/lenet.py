"""LeNet-5, the network that read the digits of cheques, in the form of the paper and in the form that is now common.

Source: LeCun, Bottou, Bengio and Haffner, 1998, "Gradient-based learning applied to document recognition", section II.B, Table I.
Departs from the source: `lenet5_paper` gives negated distances, so that the largest output is the answer, and its output codes are
redrawn by hand; other numbers of classes get random codes. `lenet5` connects all maps in C3, averages where the paper has trainable
sub-sampling, and ends in a linear layer; its tanh is plain.
Known size: 60,000 trainable parameters and 340,908 connections (paper); 61,706 parameters and 416,520 MACs (modern), at 32 x 32.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_act
from striate.networks.layers import Activation, Chain, Conv, EuclideanRBF, Flatten, Linear, Pool, Subsample
from striate.networks.layers.activation import ActivationName

# Table I: the maps of S2 that each of the 16 maps of C3 sees
C3_INPUTS = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


def lenet5(num_classes: int, act: ActivationName = "tanh") -> Chain:
    """Two times convolution and average pooling, then three layers of 120, 84 and `num_classes` units."""
    return Chain(
        c1=conv_act(6, 5, act=act),  # (6, 28, 28) of a 32 x 32 image
        s2=Pool("avg", 2),  # (6, 14, 14)
        c3=conv_act(16, 5, act=act),  # (16, 10, 10)
        s4=Pool("avg", 2),  # (16, 5, 5)
        c5=conv_act(120, 5, act=act),  # (120, 1, 1)
        head=Chain(flatten=Flatten(), f6=Linear(84), act=Activation(act), linear=Linear(num_classes)),
    )


def lenet5_paper(num_classes: int) -> Chain:
    """As published: partial connection in C3, trainable sub-sampling, squashing after each layer, distances to fixed codes."""
    squash = Activation("scaled_tanh")
    return Chain(
        c1=Chain(conv=Conv(6, 5), act=squash),  # (6, 28, 28)
        s2=Chain(pool=Subsample(2), act=squash),  # (6, 14, 14)
        c3=Chain(conv=Conv(16, 5, connections=C3_INPUTS), act=squash),  # (16, 10, 10)
        s4=Chain(pool=Subsample(2), act=squash),  # (16, 5, 5)
        c5=Chain(conv=Conv(120, 5), act=squash),  # (120, 1, 1)
        head=Chain(flatten=Flatten(), f6=Linear(84), act=squash, rbf=EuclideanRBF(num_classes)),
    )
