"""ConvNeXt V2: ConvNeXt in which the maps of a block compete, in place of a scale for each.

Source: Woo, Debnath, Hu, Chen, Liu, Kweon and Xie, 2023, "ConvNeXt V2: co-designing and scaling ConvNets with masked autoencoders",
arXiv:2301.00808, Figure 5 and appendix A.1.
Departs from the source: nothing known; stochastic depth grows linearly from 0 over the blocks.
Known size: 3,708,400 parameters and 547,332,480 MACs (atto), 28,635,496 and 4,455,531,264 (tiny), at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import residual
from striate.networks.layers import (
    Activation,
    Chain,
    ChannelLinear,
    Conv,
    GlobalPool,
    GlobalResponseNorm,
    Layer,
    LayerNorm,
    Linear,
    Parallel,
    StochasticDepth,
)


class Size(NamedTuple):
    """Widths and blocks of the four stages, at 56, 28, 14 and 7 places of a 224 x 224 image."""

    widths: tuple[int, int, int, int]
    repeats: tuple[int, int, int, int]
    drop: float  # of the last block


# fmt: off
SIZES = {
    "atto": Size((40,  80, 160, 320), (2, 2, 6, 2), 0.1),
    "tiny": Size((96, 192, 384, 768), (3, 3, 9, 3), 0.2),
}
# fmt: on
NORM = LayerNorm(eps=1e-6)


def block(width: int, drop: float) -> Parallel:
    """7 x 7 on each channel, then two linear layers at each place with a normalization of responses between, beside the input."""
    body = Chain(
        depthwise=Conv(width, 7, padding=3, groups=width),
        norm=NORM,
        expand=ChannelLinear(4 * width),
        act=Activation("gelu"),
        compete=GlobalResponseNorm(),
        project=ChannelLinear(width),
        drop=StochasticDepth(drop),
    )
    return residual(body)


def convnext_v2(num_classes: int, name: str) -> Chain:
    """ConvNeXt V2 of the size called `name`."""
    size = SIZES[name]
    total = sum(size.repeats)
    stages: dict[str, Layer] = {}
    done = 0
    for number, (width, repeats) in enumerate(zip(size.widths, size.repeats, strict=True), 1):
        if number > 1:
            stages[f"transition{number - 1}"] = Chain(norm=NORM, conv=Conv(width, 2, stride=2))
        blocks = {f"block{i}": block(width, size.drop * (done + i - 1) / (total - 1)) for i in range(1, repeats + 1)}
        stages[f"stage{number}"] = Chain(**blocks)
        done += repeats
    return Chain(
        stem=Chain(conv=Conv(size.widths[0], 4, stride=4), norm=NORM),
        **stages,
        head=Chain(pool=GlobalPool("avg"), norm=NORM, linear=Linear(num_classes)),
    )
