"""Xception: Inception taken to its extreme, each channel filtered by itself, with shortcuts around two or three such convolutions.

Source: Chollet, 2017, "Xception: deep learning with depthwise separable convolutions", arXiv:1610.02357, Figure 5.
Departs from the source: its first separable convolutions pad as timm's (`legacy_xception`) do, by 1 on each side, also before a pooling;
batch normalization has torch's constants.
Known size: 22,855,952 parameters and 8,357,403,496 MACs at 299 x 299 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import average_head, conv_norm, projection
from striate.networks.layers import Activation, BatchNorm, Chain, Identity, Layer, Parallel, Pool, separable_conv

# fmt: off
#         in  widths of the convolutions  stride     output (C, H, W) of a 299 x 299 image
BLOCKS = (
    (     64,           (128, 128),            2),  # ( 128, 74, 74)
    (    128,           (256, 256),            2),  # ( 256, 37, 37)
    (    256,           (728, 728),            2),  # ( 728, 19, 19)
    *(( 728,       (728, 728, 728),            1),) * 8,  # the middle flow
    (    728,          (728, 1024),            2),  # (1024, 10, 10)
)
# fmt: on


def separable(in_channels: int, out_channels: int) -> dict[str, Layer]:
    """A separable 3 x 3 convolution and batch normalization."""
    return {"conv": separable_conv(in_channels, out_channels, 3, bias=False), "norm": BatchNorm()}


def block(in_channels: int, widths: tuple[int, ...], stride: int, *, first: bool) -> Parallel:
    """ReLU before each separable convolution, but in the `first` block not before the first; pooled and projected where `stride` is 2."""
    body: dict[str, Layer] = {}
    for number, width in enumerate(widths, 1):
        act = {} if first and number == 1 else {"act": Activation("relu")}
        body[f"unit{number}"] = Chain(**act, **separable(in_channels, width))
        in_channels = width
    if stride > 1:
        body["pool"] = Pool("max", 3, stride=stride, padding=1)
    return Parallel(shortcut=projection(widths[-1], stride) if stride > 1 else Identity(), body=Chain(**body), merge="sum")


def xception(num_classes: int) -> Chain:
    """Xception."""
    blocks = {f"block{i}": block(*row, first=i == 1) for i, row in enumerate(BLOCKS, 1)}
    return Chain(
        stem=Chain(unit1=conv_norm(32, 3, stride=2, padding=0), unit2=conv_norm(64, 3, padding=0)),
        **blocks,
        exit1=Chain(**separable(1024, 1536), act=Activation("relu")),
        exit2=Chain(**separable(1536, 2048), act=Activation("relu")),
        head=average_head(num_classes),
    )
