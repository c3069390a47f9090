"""U-Net, which labels each pixel: down to coarse maps that encode what, back up with fine maps that encode where.

Source: Ronneberger, Fischer and Brox, 2015, "U-Net: convolutional networks for biomedical image segmentation", arXiv:1505.04597, Figure 1.
Departs from the source, as most implementations do: convolutions keep the size, so that each pixel of the image gets its scores
(the paper's lose the border: 388 x 388 of 572 x 572), and have batch normalization; no dropout at the bottom. Height and width must
be multiples of 16.
Known size: 31,037,698 parameters at 3 channels and 2 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_norm
from striate.networks.layers import Chain, Conv, ConvTranspose, Identity, Layer, Parallel, Pool

WIDTHS = (64, 128, 256, 512, 1024)  # of the five levels, from the size of the image down to a sixteenth


def two_convs(width: int) -> Chain:
    """Two 3 x 3 convolutions that keep the size."""
    return Chain(unit1=conv_norm(width, 3), unit2=conv_norm(width, 3))


def level(number: int) -> dict[str, Layer]:
    """Encode; join that with what all coarser levels make of it; decode."""
    width = WIDTHS[number - 1]
    if number == len(WIDTHS):
        return {"encode": two_convs(width)}
    coarser = Chain(pool=Pool("max", 2), **level(number + 1), up=ConvTranspose(width, 2, stride=2))
    join = Parallel(skip=Identity(), coarser=coarser, merge="concat")
    return {"encode": two_convs(width), "join": join, "decode": two_convs(width)}


def unet(num_classes: int) -> Chain:
    """U-Net of five levels: (K, H, W) scores for a (C, H, W) image."""
    return Chain(**level(1), head=Conv(num_classes, 1))
