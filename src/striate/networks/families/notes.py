"""The two small networks of introductory course notes: one for CIFAR-10, one for MNIST.

Source: the classic three-layer CIFAR-10 exercise (3x3 convolutions of 32 maps, each followed by a 2x2 maximum pooling), and the
TensorFlow-Examples convolutional MNIST network (32 kernels 5x5, 64 kernels 3x3, 1,024 units).
Departs from the source: dropout drops a quarter of the units; the original passed 0.75, meant to be kept, as the share to drop.
Known size: 24,522 parameters and 3,838,976 MACs at 32 x 32 x 3; 1,669,002 parameters and 3,952,640 MACs at 28 x 28 x 1.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_act
from striate.networks.layers import Activation, Chain, Dropout, Flatten, Layer, Linear, Pool


def cifar_notes(num_classes: int) -> Chain:
    """Three times convolution, ReLU, pooling; then one linear layer."""
    blocks = {f"block{i}": Chain(**dict(conv_act(32, 3, padding="same").children), pool=Pool("max", 2)) for i in (1, 2, 3)}
    return Chain(**blocks, head=Chain(flatten=Flatten(), linear=Linear(num_classes)))


def mnist_notes(num_classes: int, *, hidden_activation: bool = False) -> Chain:
    """Two convolutions and a dense layer, which has no activation in the notes: two linear layers in a row collapse into one."""
    hidden: dict[str, Layer] = {"hidden": Linear(1024)}
    if hidden_activation:
        hidden["act"] = Activation("relu")
    return Chain(
        block1=Chain(**dict(conv_act(32, 5).children), pool=Pool("max", 2)),
        block2=Chain(**dict(conv_act(64, 3).children), pool=Pool("max", 2)),
        head=Chain(flatten=Flatten(), **hidden, dropout=Dropout.keep(0.75), linear=Linear(num_classes)),
    )
