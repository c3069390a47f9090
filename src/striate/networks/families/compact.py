"""A small network for small pictures: three pairs of 3x3 convolutions with batch normalization, then global pooling.

Source: Striate's own, in the manner of VGG (Simonyan and Zisserman, 2015, arXiv:1409.1556) with batch normalization (Ioffe and
Szegedy, 2015, arXiv:1502.03167) and the global average pooling of NIN (Lin, Chen and Yan, 2014, arXiv:1312.4400).
Known size: 287,914 parameters at 1 channel and 10 classes. Any picture from 4 x 4 pixels on.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_norm
from striate.networks.layers import Chain, Dropout, GlobalPool, Layer, Linear, Pool

WIDTHS = (32, 64, 128)  # of the three stages; the picture is halved between them


def compact_cnn(num_classes: int) -> Chain:
    """Two convolutions a stage, a maximum pooling between stages, global average pooling before the classifier."""
    stages: dict[str, Layer] = {}
    for index, width in enumerate(WIDTHS, start=1):
        parts: dict[str, Layer] = {"pool": Pool("max", 2)} if index > 1 else {}
        stages[f"stage{index}"] = Chain(**parts, block1=conv_norm(width, 3), block2=conv_norm(width, 3))
    return Chain(**stages, head=Chain(pool=GlobalPool(), dropout=Dropout(0.2), linear=Linear(num_classes)))
