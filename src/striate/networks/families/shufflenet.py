"""ShuffleNetV2: half of the channels pass each block untouched, and the channels are shuffled so that each half meets the other.

Source: Ma, Zhang, Zheng and Sun, 2018, "ShuffleNet V2: practical guidelines for efficient CNN architecture design", arXiv:1807.11164,
Table 5 and Figure 3.
Departs from the source: nothing known.
Known size: 1,366,792 parameters and 40,476,448 MACs (x0.5), 2,278,604 and 144,907,992 (x1.0), at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import average_head, conv_norm
from striate.networks.layers import Chain, ChannelChunk, Layer, Parallel, Pool, ShuffleChannels

# fmt: off
REPEATS =       (  4,   8,   4)        # blocks in each stage, at 28, 14 and 7 places of a 224 x 224 image
WIDTHS = {                             # of the stages, and of the last convolution
    "x0_5":     ( 48,  96, 192, 1024),
    "x1_0":     (116, 232, 464, 1024),
    "x1_5":     (176, 352, 704, 1024),
    "x2_0":     (244, 488, 976, 2048),
}
# fmt: on


def filtered(width: int, stride: int, in_channels: int) -> dict[str, Layer]:
    """Each channel by itself, then 1 x 1 across them."""
    depthwise = conv_norm(in_channels, 3, stride=stride, groups=in_channels, act=None)
    return {"depthwise": depthwise, "project": conv_norm(width, 1)}


def halving(width: int, in_channels: int) -> Chain:
    """Figure 3d: both branches read all maps, and give half of `width` each, of half the size."""
    half = width // 2
    left = Chain(**filtered(half, 2, in_channels))
    right = Chain(expand=conv_norm(half, 1), **filtered(half, 2, half))
    return Chain(join=Parallel(left=left, right=right, merge="concat"), shuffle=ShuffleChannels(2))


def block(width: int) -> Chain:
    """Figure 3c: the left half stays as it is."""
    half = width // 2
    right = Chain(chunk=ChannelChunk(1, 2), expand=conv_norm(half, 1), **filtered(half, 1, half))
    return Chain(join=Parallel(left=ChannelChunk(0, 2), right=right, merge="concat"), shuffle=ShuffleChannels(2))


def shufflenet_v2(num_classes: int, width: str) -> Chain:
    """ShuffleNetV2 of the widths called `width`."""
    *widths, last = WIDTHS[width]
    stages: dict[str, Layer] = {}
    in_channels = 24
    for number, (channels, repeats) in enumerate(zip(widths, REPEATS, strict=True), 1):
        rest = {f"block{i}": block(channels) for i in range(2, repeats + 1)}
        stages[f"stage{number}"] = Chain(block1=halving(channels, in_channels), **rest)
        in_channels = channels
    stem = Chain(**dict(conv_norm(24, 3, stride=2).children), pool=Pool("max", 3, stride=2, padding=1))
    return Chain(stem=stem, **stages, unit=conv_norm(last, 1), head=average_head(num_classes))
