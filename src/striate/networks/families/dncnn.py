"""DnCNN, which gives back a picture without its noise: a chain of 3 x 3 convolutions says what the noise is not.

Source: Zhang, Zuo, Chen, Meng and Zhang, 2017, "Beyond a Gaussian denoiser: residual learning of deep CNN for image denoising",
IEEE Transactions on Image Processing 26(7), arXiv:1608.03981, section III and Figure 1: 17 convolutions for one level of noise.
Departs from the source: the last convolution learns the clean picture minus the noisy one, which is added, in place of the noise, which is
subtracted, and begins small (Lim et al., 2017, arXiv:1707.02921, scale residuals by 0.1); convolutions have no bias before a normalization.
`dncnn_light` has 8 convolutions of 32 maps.
Known size: 556,097 parameters at 1 channel: 640 + 15 (36,864 + 128) + 577.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_act, conv_norm, residual
from striate.networks.layers import Chain, Conv, MatchChannels, Scale

SMALL = 0.1  # times what is learned, so that the network begins as one that gives the picture back nearly as it is


def dncnn(num_channels: int, *, depth: int = 17, width: int = 64) -> Chain:
    """`depth` convolutions of `width` maps, whose result is added to the picture: (C, H, W) for (C, H, W)."""
    units = {f"unit{i}": conv_norm(width, 3) for i in range(2, depth)}
    head = Conv(num_channels, 3, padding="same")
    body = Chain(unit1=conv_act(width, 3, padding="same"), **units, head=head, scale=Scale(SMALL))
    return Chain(denoise=residual(body, MatchChannels(num_channels)))
