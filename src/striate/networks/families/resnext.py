"""ResNeXt: a bottleneck whose 3 x 3 convolution works in 32 groups, many narrow paths instead of one wide one.

Source: Xie, Girshick, Dollar, Tu and He, 2017, "Aggregated residual transformations for deep neural networks", arXiv:1611.05431,
Table 1 and Figure 3c.
Departs from the source: nothing known; the size is halved in the 3 x 3 convolution, as published.
Known size: 25,028,904 parameters and 4,230,479,872 MACs for 50 layers (32 x 4d) at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import average_head, blocks_with_act, bottleneck, projection, quartering_stem, residual
from striate.networks.layers import Chain, Layer

# fmt: off
OUT_CHANNELS = (256, 512, 1024, 2048)  # of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image
REPEATS = {   # blocks in each stage
    50:        (  3,   4,    6,    3),
    101:       (  3,   4,   23,    3),
}
GROUPS = 32
# fmt: on


def resnext(num_classes: int, depth: int, group_width: int) -> Chain:
    """ResNeXt of 50 or 101 layers; `group_width` channels in each of 32 groups of the first stage, doubled from stage to stage."""
    stages: dict[str, Layer] = {}
    for number, (out_channels, repeats) in enumerate(zip(OUT_CHANNELS, REPEATS[depth], strict=True), 1):
        width = GROUPS * group_width * 2 ** (number - 1)
        blocks = []
        for index in range(repeats):
            stride = 2 if number > 1 and index == 0 else 1
            body = bottleneck(width, out_channels, stride=stride, groups=GROUPS)
            blocks.append(residual(body, projection(out_channels, stride) if index == 0 else None))
        stages[f"stage{number}"] = blocks_with_act(blocks)
    return Chain(stem=quartering_stem(), **stages, head=average_head(num_classes))
