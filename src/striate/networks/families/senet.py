"""SENet, the winner of ILSVRC-2017: residual networks in which each block weighs its channels by what it sees everywhere.

Source: Hu, Shen and Sun, 2018, "Squeeze-and-excitation networks", arXiv:1709.01507, Table 1 and Figure 3.
Departs from the source: a bottleneck halves the size in its 3 x 3 convolution ("version 1.5"), as timm has it.
Known size: 28,088,024 parameters and 4,091,699,200 MACs (SE-ResNet-50), 27,559,896 and 4,232,994,816 (SE-ResNeXt-50), at 224 x 224 and
1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import (
    average_head,
    blocks_with_act,
    bottleneck,
    projection,
    quartering_stem,
    residual,
    squeeze_excitation,
)
from striate.networks.layers import Chain, Layer

# fmt: off
OUT_CHANNELS = (256, 512, 1024, 2048)  # of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image
REPEATS = {   # blocks in each stage
    50:        (  3,   4,    6,    3),
    101:       (  3,   4,   23,    3),
    152:       (  3,   8,   36,    3),
}
# fmt: on
REDUCTION = 16  # channels of a block / squeezed ones


def senet(num_classes: int, depth: int, *, groups: int = 1, group_width: int = 64) -> Chain:
    """SE-ResNet of 50, 101 or 152 layers, or SE-ResNeXt with `groups` of `group_width` channels in the first stage."""
    stages: dict[str, Layer] = {}
    for number, (out_channels, repeats) in enumerate(zip(OUT_CHANNELS, REPEATS[depth], strict=True), 1):
        width = groups * group_width * 2 ** (number - 1)
        excite = squeeze_excitation(out_channels, out_channels // REDUCTION, act="relu")
        blocks = []
        for index in range(repeats):
            stride = 2 if number > 1 and index == 0 else 1
            convs = bottleneck(width, out_channels, stride=stride, groups=groups)
            body = Chain(**dict(convs.children), excite=excite)
            blocks.append(residual(body, projection(out_channels, stride) if index == 0 else None))
        stages[f"stage{number}"] = blocks_with_act(blocks)
    return Chain(stem=quartering_stem(), **stages, head=average_head(num_classes))
