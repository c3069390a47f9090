"""ResNet-D: ResNet with three small convolutions in front and shortcuts that average before they project, so that nothing is skipped.

Source: He, Zhang, Zhang, Zhang, Xie and Li, 2019, "Bag of tricks for image classification with convolutional neural networks",
arXiv:1812.01187, Figure 2.
Departs from the source: nothing known.
Known size: 25,576,264 parameters and 4,328,824,832 MACs for 50 layers at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import average_head, blocks_with_act, bottleneck, conv_norm, projection, residual
from striate.networks.layers import Chain, Layer, Pool

# fmt: off
WIDTHS =     (64, 128, 256, 512)  # of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image
REPEATS = {    # blocks in each stage
    50:      ( 3,   4,   6,   3),
    101:     ( 3,   4,  23,   3),
}
# fmt: on


def averaged_projection(out_channels: int, stride: int) -> Chain:
    """The average of 2 x 2 places where the size is halved, then 1 x 1 and batch normalization."""
    pool = {"pool": Pool("avg", 2, ceil_mode=True, count_padding=False)} if stride > 1 else {}
    return Chain(**pool, **dict(projection(out_channels, 1).children))


def resnet_d(num_classes: int, depth: int) -> Chain:
    """ResNet-D of 50 or 101 layers."""
    stages: dict[str, Layer] = {}
    for number, (width, repeats) in enumerate(zip(WIDTHS, REPEATS[depth], strict=True), 1):
        blocks = []
        for index in range(repeats):
            stride = 2 if number > 1 and index == 0 else 1
            body = bottleneck(width, 4 * width, stride=stride)
            blocks.append(residual(body, averaged_projection(4 * width, stride) if index == 0 else None))
        stages[f"stage{number}"] = blocks_with_act(blocks)
    stem = Chain(unit1=conv_norm(32, 3, stride=2), unit2=conv_norm(32, 3), unit3=conv_norm(64, 3), pool=Pool("max", 3, stride=2, padding=1))
    return Chain(stem=stem, **stages, head=average_head(num_classes))
