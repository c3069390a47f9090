"""DeepLabv3, which labels each pixel: a ResNet that stops halving at an eighth, then convolutions of several dilations side by side.

Source: Chen, Papandreou, Schroff and Adam, 2017, "Rethinking atrous convolution for semantic image segmentation", arXiv:1706.05587,
Figure 5 with output stride 8.
Departs from the source: as torchvision has it: ResNet-50 halves the size in the 3 x 3 convolution of a bottleneck, its last stage is
dilated by 4 without a multi-grid, the pyramid's maps pass dropout and one more 3 x 3 convolution.
Known size: 39,638,869 parameters and 168,731,205,888 MACs at 520 x 520 and 21 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import blocks_with_act, conv_norm, projection, quartering_stem, residual
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Dropout, GlobalPool, Identity, Parallel

# fmt: off
WIDTHS =  (64, 128, 256, 512)  # of the four stages
REPEATS = ( 3,   4,   6,   3)  # blocks in each stage
STRIDES = ( 1,   2,   1,   1)  # of the first block of a stage
FIRST =   ( 1,   1,   1,   2)  # dilation of the first block of a stage
DILATED = ( 1,   1,   2,   4)  # dilation of its other blocks
# fmt: on


def dilated_conv(out_channels: int, dilation: int, stride: int = 1) -> Chain:
    """A 3 x 3 convolution of some dilation, batch normalization, ReLU."""
    conv = Conv(out_channels, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
    return Chain(conv=conv, norm=BatchNorm(), act=Activation("relu"))


def stage(number: int) -> Chain:
    """One stage of the ResNet."""
    width, blocks = WIDTHS[number], []
    for index in range(REPEATS[number]):
        stride, dilation = (STRIDES[number], FIRST[number]) if index == 0 else (1, DILATED[number])
        unit = dilated_conv(width, dilation, stride)
        body = Chain(reduce=conv_norm(width, 1), unit=unit, expand=conv_norm(4 * width, 1, act=None))
        blocks.append(residual(body, projection(4 * width, stride) if index == 0 else None))
    return blocks_with_act(blocks)


def pyramid() -> Parallel:
    """Atrous spatial pyramid pooling: 1 x 1, three dilated 3 x 3, and the average of each map at every place."""
    return Parallel(
        branch1x1=conv_norm(256, 1),
        rate12=dilated_conv(256, 12),
        rate24=dilated_conv(256, 24),
        rate36=dilated_conv(256, 36),
        branch_pool=Chain(pool=GlobalPool("avg", keep_axes=True), unit=conv_norm(256, 1)),
        merge="concat",
    )


def deeplabv3_resnet50(num_classes: int) -> Chain:
    """DeepLabv3 on ResNet-50: (K, H, W) scores for a (C, H, W) image."""
    segment = Chain(
        stem=quartering_stem(),
        **{f"stage{number}": stage(number - 1) for number in range(1, 5)},
        pyramid=pyramid(),
        project=Chain(**dict(conv_norm(256, 1).children), dropout=Dropout(0.5)),
        unit=conv_norm(256, 3),
        score=Conv(num_classes, 1),
    )
    return Chain(resize=Parallel(segment=segment, size=Identity(), merge="resize"))
