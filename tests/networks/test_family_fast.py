"""The network that learns small pictures in few epochs, and the one with few parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

import striate


class Airbench(nn.Module):
    """The published network, layer by layer: whitening of 2 x 2 windows, three groups of two convolutions, maximum of 3 x 3."""

    def __init__(self) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        pairs = [(24, 64), (64, 256), (256, 256)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1, bias=False) for a, b in pairs for i, o in ((a, b), (b, b)))
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels, momentum=0.4) for conv in self.convs)
        self.linear = nn.Linear(256, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.whiten(x))
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(x)
            x = F.gelu(norm(F.max_pool2d(x, 2) if place % 2 == 0 else x))
        return self.linear(F.max_pool2d(x, 3).flatten(1)) / 9


def test_fast_cnn_computes_what_the_published_network_does():
    """At 32 x 32 pixels, with equal weights, in training and in evaluation."""
    ours, theirs = striate.network("fast_cnn").build(), Airbench()
    given = [values for name, values in ours.state_dict().items() if "norm" not in name]
    own = [values for name, values in theirs.state_dict().items() if "norm" not in name]
    for mine, other in zip(given, own, strict=True):
        other.copy_(mine)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    for train in (True, False):
        torch.testing.assert_close(ours.train(train)(images), theirs.train(train)(images), atol=1e-5, rtol=1e-4)


def test_the_networks_have_their_published_and_stated_sizes():
    assert striate.network("fast_cnn").params == 1_971_640
    assert striate.network("fast_cnn", in_channels=1, input_size=28).output_shape == (10,)
    assert striate.network("tiny_cnn").params == 7_154
