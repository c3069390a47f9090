"""Small networks of Striate's own: for small pictures, and for what is no picture.

Pictures: three pairs of 3x3 convolutions with batch normalization, then global pooling; signals (C, L) and volumes (C, D, H, W) the same
in one and three dimensions. An LSTM (Hochreiter and Schmidhuber, 1997, Neural Computation 9) reads the places of a signal as steps; the
rows of tables (F,) go to a multilayer perceptron (Rumelhart, Hinton and Williams, 1986, Nature 323).

Source: Striate's own, in the manner of VGG (Simonyan and Zisserman, 2015, arXiv:1409.1556) with batch normalization (Ioffe and
Szegedy, 2015, arXiv:1502.03167) and the global average pooling of NIN (Lin, Chen and Yan, 2014, arXiv:1312.4400).
Known size: compact_cnn 287,914 parameters at 1 channel and 10 classes, tiny_cnn 7,154. Any picture from 4 x 4 pixels on.
"""

from __future__ import annotations

from collections.abc import Sequence

from striate.networks.families.parts import conv_norm, dense_layers
from striate.networks.layers import (
    LSTM,
    Activation,
    BatchNorm,
    Chain,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Linear,
    Pool,
    ToSequence,
    ToSignal,
)

WIDTHS = (32, 64, 128)  # of the three stages; the picture is halved between them
TINY_WIDTHS = (8, 12, 16)
WIDTHS_3D = (8, 16, 32)  # of volumes, which have many places
KERNEL_1D = 5  # places of a signal that a convolution sees
HIDDEN = 64  # units of an LSTM, or of a hidden layer


def compact_cnn(num_classes: int, widths: Sequence[int] = WIDTHS, kernel_size: int = 3, dropout: float = 0.2) -> Chain:
    """Two convolutions a stage, a maximum pooling between stages, global average pooling before the classifier."""
    stages: dict[str, Layer] = {}
    for index, width in enumerate(widths, start=1):
        parts: dict[str, Layer] = {"pool": Pool("max", 2)} if index > 1 else {}
        stages[f"stage{index}"] = Chain(**parts, block1=conv_norm(width, kernel_size), block2=conv_norm(width, kernel_size))
    drop: dict[str, Layer] = {"dropout": Dropout(dropout)} if dropout else {}
    return Chain(**stages, head=Chain(pool=GlobalPool(), **drop, linear=Linear(num_classes)))


def tiny_cnn(num_classes: int) -> Chain:
    """`compact_cnn` of widths 8, 12 and 16 without dropout, which so few parameters do not need."""
    return compact_cnn(num_classes, widths=TINY_WIDTHS, dropout=0)


def signal_cnn(num_classes: int) -> Chain:
    """`compact_cnn` in one dimension, with kernels of 5 places."""
    return compact_cnn(num_classes, kernel_size=KERNEL_1D)


def volume_cnn(num_classes: int) -> Chain:
    """`compact_cnn` in three dimensions, with a quarter of the channels."""
    return compact_cnn(num_classes, widths=WIDTHS_3D)


def sequence_lstm(num_classes: int) -> Chain:
    """An LSTM over the steps, and a classifier of its last state."""
    return Chain(sequence=ToSequence(), recurrent=LSTM(HIDDEN), head=Linear(num_classes))


def default_dnn(num_classes: int) -> Chain:
    """Five hidden layers of 100 units with batch normalization and Swish: a textbook's default for deep networks of dense layers.

    Source: Géron, Hands-On Machine Learning, 3rd edition, 2022, chapters 10 (sizes) and 11 ("Default DNN configuration"); the recipe
    of the same name trains it.
    """
    hidden = {f"hidden{i}": Chain(linear=Linear(100, bias=False), norm=BatchNorm(), act=Activation("silu")) for i in range(1, 6)}
    return Chain(flatten=Flatten(), **hidden, head=Linear(num_classes))


def step_lstm(num_classes: int) -> Chain:
    """An LSTM that reads the steps forwards and backwards, and a classifier of its states at each step: (K, T) scores."""
    states = LSTM(HIDDEN, bidirectional=True, return_sequence=True)
    return Chain(sequence=ToSequence(), recurrent=states, head=Linear(num_classes), signal=ToSignal())


def table_mlp(num_classes: int) -> Chain:
    """Two hidden layers of 64 units."""
    return Chain(**dense_layers((HIDDEN, HIDDEN), ("relu", "relu"), num_classes))
