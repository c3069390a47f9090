"""Vision transformer: a picture as a sequence of patches, each of which reads all others in every block.

Source: Dosovitskiy et al., 2021, "An image is worth 16x16 words: transformers for image recognition at scale", arXiv:2010.11929, Figure 1
and Table 1; the tiny and small sizes: Touvron et al., 2021, arXiv:2012.12877, Table 1.
Departs from the source: no dropout, as torchvision and timm have it; the learned places fit one size of pictures, and are not interpolated.
Known size: 5,717,416 parameters and 1,253,683,200 MACs (tiny), 22,050,664 and 4,598,882,304 (small), 86,567,656 and 17,563,828,224
(base, patches of 16 x 16), at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.networks.families.parts import residual
from striate.networks.layers import (
    Activation,
    Chain,
    ClassToken,
    Conv,
    Layer,
    LayerNorm,
    Linear,
    Parallel,
    PositionEmbedding,
    SelfAttention,
    TakeStep,
    ToSequence,
)


class Size(NamedTuple):
    """One row of Table 1."""

    patch: int  # pixels on a side
    features: int
    heads: int
    blocks: int = 12


# fmt: off
SIZES = {     #  patch  features  heads
    "tiny":  Size(  16,      192,     3),
    "small": Size(  16,      384,     6),
    "b_16":  Size(  16,      768,    12),
    "b_32":  Size(  32,      768,    12),
}
# fmt: on
NORM = LayerNorm(eps=1e-6, over="features")


def block(size: Size) -> Chain:
    """Attention beside its input, then two linear layers at each step beside theirs; normalization before each."""
    width = size.features
    attend = Chain(norm=NORM, read=Linear(3 * width), attention=SelfAttention(size.heads), write=Linear(width))
    think = Chain(norm=NORM, expand=Linear(4 * width), act=Activation("gelu"), project=Linear(width))
    return Chain(attend=residual(attend), think=residual(think))


def vit(num_classes: int, name: str) -> Chain:
    """A vision transformer of the size called `name`."""
    size = SIZES[name]
    patches = Chain(conv=Conv(size.features, size.patch, stride=size.patch), sequence=ToSequence("places"))
    join = Parallel(token=ClassToken(size.features), patches=patches, merge="concat")
    blocks: dict[str, Layer] = {f"block{i}": block(size) for i in range(1, size.blocks + 1)}
    return Chain(
        stem=Chain(join=join, place=PositionEmbedding()),
        **blocks,
        norm=NORM,
        head=Chain(step=TakeStep(0), linear=Linear(num_classes)),
    )
