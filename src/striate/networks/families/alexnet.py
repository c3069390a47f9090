"""AlexNet, the network that won ILSVRC-2012: on two GPUs as published, and on one.

Source: Krizhevsky, Sutskever and Hinton, 2012, "ImageNet classification with deep convolutional neural networks", section 3
(`alexnet_paper`); Krizhevsky, 2014, arXiv:1404.5997, the widths of one GPU, as torchvision has them (`alexnet`).
Departs from the source: `alexnet_paper` reads 227 x 227 pixels, as its own code did, for 224 give no 55 x 55 maps without padding; the
halves on two GPUs are two groups. `alexnet` has dropout before both hidden layers, as torchvision has, and where its last maps are not
6 x 6 (an input of 223 to 254 pixels has such), it averages or repeats them to 6 x 6, as torchvision does, so that weights fit at any size.
Known size: 60,965,224 parameters and 724,406,816 MACs at 227 x 227 (paper); 61,100,840 and 714,188,480 at 224 x 224; 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import hidden_head
from striate.networks.layers import Activation, AdaptivePool, Chain, Conv, Dropout, Flatten, Layer, Linear, LocalResponseNorm, Pool


class Stage(NamedTuple):
    """One convolution with ReLU, then perhaps response normalization and 3 x 3 maximum pooling with stride 2."""

    out_channels: int
    kernel_size: int
    stride: int
    padding: int
    groups: int
    normalize: bool
    pool: bool


# fmt: off
#         out_channels  kernel_size  stride  padding  groups  normalize   pool     output (C, H, W)
PAPER = (
    Stage(          96,          11,      4,       0,      1,      True,  True),  # ( 96, 27, 27) of a 227 x 227 image
    Stage(         256,           5,      1,       2,      2,      True,  True),  # (256, 13, 13)
    Stage(         384,           3,      1,       1,      1,     False, False),  # (384, 13, 13)
    Stage(         384,           3,      1,       1,      2,     False, False),  # (384, 13, 13)
    Stage(         256,           3,      1,       1,      2,     False,  True),  # (256,  6,  6)
)
ONE_GPU = (
    Stage(          64,          11,      4,       2,      1,     False,  True),  # ( 64, 27, 27) of a 224 x 224 image
    Stage(         192,           5,      1,       2,      1,     False,  True),  # (192, 13, 13)
    Stage(         384,           3,      1,       1,      1,     False, False),  # (384, 13, 13)
    Stage(         256,           3,      1,       1,      1,     False, False),  # (256, 13, 13)
    Stage(         256,           3,      1,       1,      1,     False,  True),  # (256,  6,  6)
)
# fmt: on


def stage(row: Stage) -> Chain:
    """The layers of one row."""
    parts: dict[str, Layer] = {
        "conv": Conv(row.out_channels, row.kernel_size, stride=row.stride, padding=row.padding, groups=row.groups),
        "act": Activation("relu"),
    }
    if row.normalize:
        parts["norm"] = LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0)
    if row.pool:
        parts["pool"] = Pool("max", 3, stride=2)
    return Chain(**parts)


def alexnet(num_classes: int) -> Chain:
    """AlexNet for one GPU, as torchvision has it."""
    return Chain(
        **{f"stage{i}": stage(row) for i, row in enumerate(ONE_GPU, 1)},
        head=Chain(
            pool=AdaptivePool(6),
            flatten=Flatten(),
            dropout1=Dropout(0.5),
            hidden1=Linear(4096),
            act1=Activation("relu"),
            dropout2=Dropout(0.5),
            hidden2=Linear(4096),
            act2=Activation("relu"),
            linear=Linear(num_classes),
        ),
    )


def alexnet_paper(num_classes: int) -> Chain:
    """AlexNet as published, the halves on two GPUs as two groups."""
    return Chain(
        **{f"stage{i}": stage(row) for i, row in enumerate(PAPER, 1)},
        head=hidden_head(num_classes),
    )
