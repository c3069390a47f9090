"""DCGAN: a generator that draws pictures from noise, and the discriminator that tells them from real ones; convolutions throughout.

Source: Radford, Metz and Chintala, 2016, "Unsupervised representation learning with deep convolutional generative adversarial networks",
arXiv:1511.06434, Figure 1 and section 3; kernels of 5 x 5 and the discriminator's widths from the authors' code.
Departs from the source: the discriminator gives a logit, before the sigmoid. Noise is a map of one place, (100, 1, 1), so that the
projection is a transposed convolution; the channels of the picture stand in the place of classes.
Known size: 18,855,040 parameters and 640,614,400 MACs (generator), 17,232,769 and 638,992,384 (discriminator), at 64 x 64 x 3.
"""

from __future__ import annotations

from striate.networks.layers import Activation, BatchNorm, Chain, Conv, ConvTranspose, Flatten, Layer, Linear

WIDTHS = (128, 256, 512, 1024)  # at 32, 16, 8 and 4 places of a 64 x 64 picture


def enlarging(width: int) -> ConvTranspose:
    """A transposed convolution that doubles the size."""
    return ConvTranspose(width, 5, stride=2, padding=2, output_padding=1, bias=False)


def dcgan_generator(channels: int) -> Chain:
    """(100, 1, 1) noise to a (`channels`, 64, 64) picture in [-1, 1]."""
    *narrow, widest = WIDTHS
    stages: dict[str, Layer] = {"project": Chain(conv=ConvTranspose(widest, 4, bias=False), norm=BatchNorm(), act=Activation("relu"))}
    for number, width in enumerate(reversed(narrow), 1):
        stages[f"stage{number}"] = Chain(conv=enlarging(width), norm=BatchNorm(), act=Activation("relu"))
    return Chain(**stages, head=Chain(conv=enlarging(channels), act=Activation("tanh")))


def dcgan_discriminator(num_outputs: int) -> Chain:
    """A picture to one logit: is it real?"""
    stages: dict[str, Layer] = {}
    for number, width in enumerate(WIDTHS, 1):
        norm = {"norm": BatchNorm()} if number > 1 else {}
        conv = Conv(width, 5, stride=2, padding=2, bias=False)
        stages[f"stage{number}"] = Chain(conv=conv, **norm, act=Activation("leaky_relu", slope=0.2))
    return Chain(**stages, head=Chain(flatten=Flatten(), linear=Linear(num_outputs)))
