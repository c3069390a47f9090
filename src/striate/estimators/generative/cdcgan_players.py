"""The two players of the conditional DCGAN: their layers, and their modules.

Sources: Mirza and Osindero, 2014, arXiv:1411.1784v1 (both players get the label); Radford, Metz and Chintala, 2016,
arXiv:1511.06434v2 (layers and initialisation). The layout is that of the widespread implementation for MNIST at 32 x 32, which joins
noise and label after a layer of their own each.
Departs from the sources: the discriminator's sigmoid is inside its loss.
Known size: generator 3,076,737 parameters and 68,083,712 MACs, discriminator 2,643,329 and 70,000,640, for 10 labels, grey, width 64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from striate.estimators.described import packed
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, ConvTranspose, Layer
from striate.networks.network import Network

SIZE = 32  # pixels of a side


class Player(NamedTuple):
    """The descriptions of one player: `content` and `label` are joined along the channels, and go through `trunk`."""

    content: Network
    label: Network
    trunk: Network

    @property
    def params(self) -> int:
        """Trainable numbers."""
        return sum(part.params for part in self)

    @property
    def macs(self) -> int:
        """Multiply-adds for one picture."""
        return sum(part.macs for part in self)


def enlarging(maps: int, *, stride: int, last: str | None = None) -> dict[str, Layer]:
    """A transposed 4x4 convolution, normalized and rectified; or, as the last, with another activation alone."""
    conv = ConvTranspose(maps, 4, stride=stride, padding=stride - 1)
    return {"conv": conv, "act": Activation("tanh")} if last else {"conv": conv, "norm": BatchNorm(), "act": Activation("relu")}


def halving(maps: int, *, normalized: bool) -> dict[str, Layer]:
    """A 4x4 convolution with stride 2, normalized or not, and a leaky rectifier."""
    parts: dict[str, Layer] = {"conv": Conv(maps, 4, stride=2, padding=1)}
    if normalized:
        parts["norm"] = BatchNorm()
    return {**parts, "act": Activation("leaky_relu", slope=0.2)}


def describe_generator(num_labels: int, *, channels: int = 1, latent_size: int = 100, width: int = 64) -> Player:
    """The generator: noise (latent_size, 1, 1) and label (num_labels, 1, 1) to a picture (channels, 32, 32) in [-1, 1].

    Args:
        num_labels: Labels there are.
        channels: Of a picture.
        latent_size: Numbers of noise.
        width: Maps in units: 4, 4 (joined 8), 4 and 2 of it; 64 as published.
    """
    trunk = Chain(
        stage1=Chain(**enlarging(4 * width, stride=2)),  # (4 w,  8,  8)
        stage2=Chain(**enlarging(2 * width, stride=2)),  # (2 w, 16, 16)
        image=Chain(**enlarging(channels, stride=2, last="tanh")),  # (C, 32, 32)
    )
    return Player(
        Network("noise", (latent_size, 1, 1), Chain(**enlarging(4 * width, stride=1))),  # (4 w, 4, 4)
        Network("label", (num_labels, 1, 1), Chain(**enlarging(4 * width, stride=1))),  # (4 w, 4, 4)
        Network("generator", (8 * width, 4, 4), trunk),
    )


def describe_discriminator(num_labels: int, *, channels: int = 1, width: int = 64) -> Player:
    """The discriminator: picture (channels, 32, 32) and maps of the label (num_labels, 32, 32) to a logit (1, 1, 1), real above 0.

    Args:
        num_labels: Labels there are.
        channels: Of a picture.
        width: Maps in units: 1, 1 (joined 2), 4 and 8 of it; 64 as published.
    """
    trunk = Chain(
        stage1=Chain(**halving(4 * width, normalized=True)),  # (4 w, 8, 8)
        stage2=Chain(**halving(8 * width, normalized=True)),  # (8 w, 4, 4)
        logit=Conv(1, 4),  # (1, 1, 1)
    )
    return Player(
        Network("image", (channels, SIZE, SIZE), Chain(**halving(width, normalized=False))),  # (w, 16, 16)
        Network("label", (num_labels, SIZE, SIZE), Chain(**halving(width, normalized=False))),  # (w, 16, 16)
        Network("discriminator", (2 * width, 16, 16), trunk),
    )


class Conditional(nn.Module):
    """A player: `content` and the label, joined, through `trunk`."""

    def __init__(self, parts: Mapping[str, nn.Module], extent: int) -> None:
        super().__init__()
        self.content, self.label, self.trunk = parts["content"], parts["label"], parts["trunk"]
        self.extent = extent  # of the label's maps

    def forward(self, content: Tensor, shares: Tensor) -> Tensor:
        """Of noise (N, J, 1, 1) or pictures (N, C, 32, 32), and (N, K) with a 1 at the label: pictures, or logits (N,)."""
        maps = shares[:, :, None, None].expand(-1, -1, self.extent, self.extent)
        answer: Tensor = self.trunk(torch.cat([self.content(content), self.label(maps)], dim=1))
        return answer if answer.shape[1:] != (1, 1, 1) else answer.flatten()


def begun(player: Player, extent: int) -> Conditional:
    """A player with fresh weights: N(0, 0.02^2) for convolutions, biases 0 (Radford et al., 2016)."""
    module = Conditional({name: network.build() for name, network in player._asdict().items()}, extent)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


def kept(player: Player, module: nn.Module) -> dict[str, Any]:
    """A trained player as data."""
    return {name: packed(network, getattr(module, name)) for name, network in player._asdict().items()}
