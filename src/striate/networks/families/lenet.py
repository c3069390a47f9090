"""LeNet-1, LeNet-4 and LeNet-5, which read digits of envelopes and cheques; LeNet-5 also in the form that is now common.

Source: LeCun et al., 1990, "Handwritten digit recognition with a back-propagation network", NIPS 2, Table 1 (`lenet1`); LeCun et al.,
1995, "Comparison of learning algorithms for handwritten digit recognition", and 1998, section III.C (`lenet4`); LeCun, Bottou, Bengio
and Haffner, 1998, "Gradient-based learning applied to document recognition", section II.B, Table I (LeNet-5).
Departs from the source: `lenet1` and `lenet4` give their last weighted sums, not squashed. `lenet4` connects C3 and F5 to all maps before
them, as the text has it. The papers counted less, about 17,000 parameters and 260,000 connections: 120 units on all 16 maps of 5 x 5 alone
have 48,120 parameters, and a C3 that sees all maps 321,600 connections. Both counts fit 60 of the 128 links between maps in C3 and 560 of
the 1,920 to F5 (16,998 and 258,306), but no table says which, so that LeNet-4 as it was cannot be known. `lenet5_paper` gives negated
distances, so that the largest output is the answer, and its output codes are redrawn by hand; other numbers of classes get random codes.
`lenet5` connects all maps in C3, averages where the paper has trainable sub-sampling, and ends in a linear layer; its tanh is plain.
Known size: 2,578 parameters and 98,442 connections (LeNet-1, at 28 x 28); 52,698 parameters and 462,306 connections (LeNet-4), 60,000
trainable parameters and 340,908 connections (LeNet-5), 61,706 parameters and 416,520 MACs (its modern form), at 32 x 32.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_act
from striate.networks.layers import Activation, Chain, Conv, EuclideanRBF, Flatten, Linear, Parallel, Pool, Subsample
from striate.networks.layers.activation import ActivationName

# Table 1 of 1990: the maps of H2 that each of the 12 maps of H3 sees
H3_INPUTS = ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1), (2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3))
# Table I of 1998: the maps of S2 that each of the 16 maps of C3 sees
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


SQUASH = Activation("scaled_tanh")


def lenet1(num_classes: int) -> Chain:
    """The network of 1990: two times convolution and trainable sub-sampling, and one linear layer."""
    return Chain(
        h1=Chain(conv=Conv(4, 5), act=SQUASH),  # (4, 24, 24) of a 28 x 28 image
        h2=Chain(pool=Subsample(2), act=SQUASH),  # (4, 12, 12)
        h3=Chain(conv=Conv(12, 5, connections=H3_INPUTS), act=SQUASH),  # (12, 8, 8)
        h4=Chain(pool=Subsample(2), act=SQUASH),  # (12, 4, 4)
        head=Chain(flatten=Flatten(), linear=Linear(num_classes)),
    )


def lenet4(num_classes: int) -> Chain:
    """Wider, with two sub-samplings of each of the first maps and a hidden layer of 120 units."""
    pair = Parallel(first=Subsample(2), second=Subsample(2), merge="concat")
    return Chain(
        c1=Chain(conv=Conv(4, 5), act=SQUASH),  # (4, 28, 28) of a 32 x 32 image
        s2=Chain(pair=pair, act=SQUASH),  # (8, 14, 14)
        c3=Chain(conv=Conv(16, 5), act=SQUASH),  # (16, 10, 10)
        s4=Chain(pool=Subsample(2), act=SQUASH),  # (16, 5, 5)
        head=Chain(flatten=Flatten(), f5=Linear(120), act=SQUASH, linear=Linear(num_classes)),
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
    return Chain(
        c1=Chain(conv=Conv(6, 5), act=SQUASH),  # (6, 28, 28)
        s2=Chain(pool=Subsample(2), act=SQUASH),  # (6, 14, 14)
        c3=Chain(conv=Conv(16, 5, connections=C3_INPUTS), act=SQUASH),  # (16, 10, 10)
        s4=Chain(pool=Subsample(2), act=SQUASH),  # (16, 5, 5)
        c5=Chain(conv=Conv(120, 5), act=SQUASH),  # (120, 1, 1)
        head=Chain(flatten=Flatten(), f6=Linear(84), act=SQUASH, rbf=EuclideanRBF(num_classes)),
    )
