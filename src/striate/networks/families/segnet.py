"""SegNet, which labels each pixel: VGG-16's convolutions down and up again; the way up puts values where the maxima of the way down were.

Source: Badrinarayanan, Kendall and Cipolla, 2017, "SegNet: a deep convolutional encoder-decoder architecture for image segmentation",
arXiv:1511.00561, Figures 2 and 3, with the widths of the authors' Caffe model.
Departs from the source: nothing known; poolings round sizes up, as in Caffe.
Known size: 29,449,355 parameters and 106,712,432,640 MACs at 360 x 480 and 11 classes.
"""

from __future__ import annotations

from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Identity, Layer, Parallel, Pool

# fmt: off
#          down                  up            output (C, H, W) of the decoder of a 360 x 480 image
STAGES = (
    (( 64,  64),           ( 64,)),           # ( 64, 360, 480), then one score a class
    ((128, 128),           (128,  64)),       # ( 64, 180, 240)
    ((256, 256, 256),      (256, 256, 128)),  # (128,  90, 120)
    ((512, 512, 512),      (512, 512, 256)),  # (256,  45,  60)
    ((512, 512, 512),      (512, 512, 512)),  # (512,  23,  30)
)
# fmt: on


def convs(widths: tuple[int, ...]) -> Chain:
    """3 x 3 convolutions that keep the size, each with bias, batch normalization and ReLU."""
    unit = {
        f"unit{i}": Chain(conv=Conv(width, 3, padding=1), norm=BatchNorm(), act=Activation("relu")) for i, width in enumerate(widths, 1)
    }
    return Chain(**unit)


def level(number: int) -> dict[str, Layer]:
    """Encode; what the coarser levels make of the maxima, at their places; decode."""
    down, up = STAGES[number - 1]
    deeper = level(number + 1) if number < len(STAGES) else {}
    coarser = Chain(pool=Pool("max", 2, ceil_mode=True), **deeper)
    return {"encode": convs(down), "unpool": Parallel(maps=Identity(), coarser=coarser, merge="unpool"), "decode": convs(up)}


def segnet(num_classes: int) -> Chain:
    """SegNet: (K, H, W) scores for a (C, H, W) image."""
    return Chain(**level(1), head=Conv(num_classes, 3, padding=1))
