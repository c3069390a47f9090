"""ZFNet, the winner of ILSVRC-2013: AlexNet on one GPU with a smaller first kernel and stride, found by looking at its feature maps.

Source: Zeiler and Fergus, 2014, "Visualizing and understanding convolutional networks", arXiv:1311.2901, Figure 3.
Departs from the source: where the paper prints sizes alone, the first convolution pads by 1 and poolings round up, which its sizes need;
contrast normalization is AlexNet's, with its constants, for the paper prints none.
Known size: 62,357,608 parameters and 1,168,032,896 MACs at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import hidden_head
from striate.networks.layers import Activation, Chain, Conv, Layer, LocalResponseNorm, Pool


class Stage(NamedTuple):
    """One convolution with ReLU, then perhaps 3 x 3 maximum pooling with stride 2 and contrast normalization."""

    out_channels: int
    kernel_size: int
    stride: int
    padding: int
    pool: bool
    normalize: bool


# fmt: off
#         out_channels  kernel_size  stride  padding   pool  normalize     output (C, H, W) of a 224 x 224 image
STAGES = (
    Stage(          96,           7,      2,       1,  True,      True),  # ( 96, 55, 55)
    Stage(         256,           5,      2,       0,  True,      True),  # (256, 13, 13)
    Stage(         384,           3,      1,       1, False,     False),  # (384, 13, 13)
    Stage(         384,           3,      1,       1, False,     False),  # (384, 13, 13)
    Stage(         256,           3,      1,       1,  True,     False),  # (256,  6,  6)
)
# fmt: on


def stage(row: Stage) -> Chain:
    """The layers of one row."""
    parts: dict[str, Layer] = {
        "conv": Conv(row.out_channels, row.kernel_size, stride=row.stride, padding=row.padding),
        "act": Activation("relu"),
    }
    if row.pool:
        parts["pool"] = Pool("max", 3, stride=2, ceil_mode=row.normalize)
    if row.normalize:
        parts["norm"] = LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0)
    return Chain(**parts)


def zfnet(num_classes: int) -> Chain:
    """ZFNet."""
    return Chain(
        **{f"stage{i}": stage(row) for i, row in enumerate(STAGES, 1)},
        head=hidden_head(num_classes),
    )
