"""SRCNN and FSRCNN, which enlarge a picture: the first enlarges and then mends, the second works on the small picture.

Sources: Dong, Loy, He and Tang, 2014, "Image super-resolution using deep convolutional networks", arXiv:1501.00092v3, section 3: 9-1-5
with 64 and 32 maps; Dong, Loy and Tang, 2016, "Accelerating the super-resolution convolutional neural network", arXiv:1608.00367v1,
section 3: FSRCNN(56, 12, 4), which ends in a transposed convolution.
Departs from the sources: convolutions keep the size; SRCNN's picture is enlarged bilinearly, not bicubically, and by the network itself; to
the result of both, times 0.1, a bilinear enlargement is added, which they would else have to learn first; each mapping of FSRCNN has an
activation, as implementations have it; colours are three channels, not brightness alone.
Known size: at 1 channel SRCNN has 8,032 weights, and 97 biases; FSRCNN 12,464 weights, 173 biases and 172 slopes of its activations.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_act, residual
from striate.networks.layers import Activation, Chain, Conv, ConvTranspose, Interpolate, MatchChannels, Scale

SMALL = 0.1  # times what is learned, so that the network begins as a bilinear enlargement nearly
MAPPINGS = 4  # m, the 3 x 3 convolutions between shrinking and expanding


def srcnn(num_channels: int, scale: int) -> Chain:
    """Resize and convolve: (C, s H, s W) for (C, H, W)."""
    body = Chain(
        patches=conv_act(64, 9, padding="same"), mapping=conv_act(32, 1), head=Conv(num_channels, 5, padding="same"), scale=Scale(SMALL)
    )
    return Chain(resize=Interpolate(scale, mode="bilinear"), mend=residual(body, MatchChannels(num_channels)))


def fsrcnn(num_channels: int, scale: int, *, maps: int = 56, shrunk: int = 12) -> Chain:
    """Convolve on the small picture, and enlarge by a transposed convolution: (C, s H, s W) for (C, H, W)."""
    mapping = {f"mapping{i}": _conv_prelu(shrunk, 3) for i in range(1, MAPPINGS + 1)}
    body = Chain(
        patches=_conv_prelu(maps, 5),
        shrink=_conv_prelu(shrunk, 1),
        **mapping,
        expand=_conv_prelu(maps, 1),
        head=ConvTranspose(num_channels, 9, stride=scale, padding=4, output_padding=scale - 1),
        scale=Scale(SMALL),
    )
    shortcut = Chain(resize=Interpolate(scale, mode="bilinear"), match=MatchChannels(num_channels))
    return Chain(enlarge=residual(body, shortcut))


def _conv_prelu(out_channels: int, kernel_size: int) -> Chain:
    return Chain(conv=Conv(out_channels, kernel_size, padding="same"), act=Activation("prelu", per_channel=True))
