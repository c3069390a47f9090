"""ConvNeXt-T: a residual network brought up to date step by step with what vision transformers do.

Source: Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, 2022, "A ConvNet for the 2020s", arXiv:2201.03545, Table 9 and Figure 4.
Departs from the source: nothing known; stochastic depth grows linearly from 0 to 0.1 over the blocks.
Known size: 28,589,128 parameters and 4,455,531,264 MACs at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import residual
from striate.networks.layers import (
    Activation,
    Chain,
    ChannelLinear,
    Conv,
    Gain,
    GlobalPool,
    Layer,
    LayerNorm,
    Linear,
    Parallel,
    StochasticDepth,
)

# fmt: off
WIDTHS =  (96, 192, 384, 768)  # of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image
REPEATS = ( 3,   3,   9,   3)  # blocks in each stage
# fmt: on
NORM = LayerNorm(eps=1e-6)
LAYER_SCALE = 1e-6
DROP = 0.1  # of the last block


def block(width: int, drop: float) -> Parallel:
    """7 x 7 on each channel, then two linear layers at each place, scaled by a number for each channel, beside the input."""
    body = Chain(
        depthwise=Conv(width, 7, padding=3, groups=width),
        norm=NORM,
        expand=ChannelLinear(4 * width),
        act=Activation("gelu"),
        project=ChannelLinear(width),
    )
    scaled = Parallel(scale=Gain(LAYER_SCALE), body=body, merge="multiply")
    return residual(Chain(scaled=scaled, drop=StochasticDepth(drop)))


def convnext_tiny(num_classes: int) -> Chain:
    """ConvNeXt-T."""
    total = sum(REPEATS)
    stages: dict[str, Layer] = {}
    done = 0
    for number, (width, repeats) in enumerate(zip(WIDTHS, REPEATS, strict=True), 1):
        if number > 1:
            stages[f"transition{number - 1}"] = Chain(norm=NORM, conv=Conv(width, 2, stride=2))
        blocks = {f"block{i}": block(width, DROP * (done + i - 1) / (total - 1)) for i in range(1, repeats + 1)}
        stages[f"stage{number}"] = Chain(**blocks)
        done += repeats
    return Chain(
        stem=Chain(conv=Conv(96, 4, stride=4), norm=NORM),
        **stages,
        head=Chain(pool=GlobalPool("avg"), norm=NORM, linear=Linear(num_classes)),
    )
