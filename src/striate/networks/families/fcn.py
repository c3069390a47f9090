"""Fully convolutional networks: VGG-16 that gives a class to each pixel of an image of any size.

Source: Long, Shelhamer and Darrell, 2015, "Fully convolutional networks for semantic segmentation", arXiv:1411.4038, section 4 and
Figure 3, with the paddings and crops of the authors' Caffe models.
Departs from the source: all enlarging kernels are learned, from a bilinear start; the authors keep the last one fixed.
Known size: 136,152,917 (32s), 134,815,994 (16s) and 134,489,759 (8s) parameters at 21 classes, 181,529,034,048 MACs for 8s at
500 x 500.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_act
from striate.networks.layers import Chain, Conv, ConvTranspose, Dropout, Identity, Layer, Parallel, Pool

# fmt: off
#          width  convolutions     (C, H, W) of a 500 x 500 image, padded to 698 x 698
STAGES = (
          (   64,            2),  # ( 64, 349, 349)
          (  128,            2),  # (128, 175, 175)
          (  256,            3),  # (256,  88,  88)
          (  512,            3),  # (512,  44,  44)
          (  512,            3),  # (512,  22,  22)
)
# fmt: on


def vgg_stage(number: int) -> Chain:
    """One of VGG-16's five stages; the first pads by 100 pixels, so that small images reach the end, and sizes round up."""
    width, repeats = STAGES[number - 1]
    paddings = [100 if number == 1 else 1, *[1] * (repeats - 1)]
    units = {f"unit{i}": conv_act(width, 3, padding=padding) for i, padding in enumerate(paddings, 1)}
    return Chain(**units, pool=Pool("max", 2, ceil_mode=True))


def classifier(num_classes: int) -> dict[str, Layer]:
    """VGG-16's dense head as convolutions, and one score map for each class."""
    return {
        "stage5": vgg_stage(5),
        "hidden1": Chain(**dict(conv_act(4096, 7).children), dropout=Dropout(0.5)),
        "hidden2": Chain(**dict(conv_act(4096, 1).children), dropout=Dropout(0.5)),
        "score": Conv(num_classes, 1),
    }


def enlarge(num_classes: int, factor: int) -> ConvTranspose:
    """Score maps `factor` times as large."""
    return ConvTranspose(num_classes, 2 * factor, stride=factor, bias=False, init="bilinear")


def with_skip(num_classes: int, deep: dict[str, Layer], crop: int) -> Parallel:
    """The output of `deep` plus a score of the map that it started from, cropped to the same size."""
    return Parallel(deep=Chain(**deep), skip=Conv(num_classes, 1), merge="sum", crop=crop)


def to_size_of_input(segment: Chain, crop: int) -> Chain:
    """The scores that `segment` gives, cropped to the size of the image."""
    return Chain(crop=Parallel(segment=segment, size=Identity(), merge="first", crop=crop))


def fcn32s_vgg16(num_classes: int) -> Chain:
    """FCN-32s: scores of the last stage, enlarged 32 times."""
    stages = {f"stage{i}": vgg_stage(i) for i in (1, 2, 3, 4)}
    return to_size_of_input(Chain(**stages, **classifier(num_classes), up32=enlarge(num_classes, 32)), crop=19)


def fcn16s_vgg16(num_classes: int) -> Chain:
    """FCN-16s: scores of stages 4 and 5, enlarged 16 times."""
    stages = {f"stage{i}": vgg_stage(i) for i in (1, 2, 3, 4)}
    deep = {**classifier(num_classes), "up2": enlarge(num_classes, 2)}
    fused = with_skip(num_classes, deep, crop=5)
    return to_size_of_input(Chain(**stages, fuse4=fused, up16=enlarge(num_classes, 16)), crop=27)


def fcn8s_vgg16(num_classes: int) -> Chain:
    """FCN-8s: scores of stages 3, 4 and 5, enlarged 8 times."""
    stages = {f"stage{i}": vgg_stage(i) for i in (1, 2, 3)}
    deepest = {**classifier(num_classes), "up2": enlarge(num_classes, 2)}
    deep = {"stage4": vgg_stage(4), "fuse4": with_skip(num_classes, deepest, crop=5), "up4": enlarge(num_classes, 2)}
    fused = with_skip(num_classes, deep, crop=9)
    return to_size_of_input(Chain(**stages, fuse3=fused, up8=enlarge(num_classes, 8)), crop=31)
