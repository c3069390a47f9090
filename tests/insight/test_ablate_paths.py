"""A residual network is the sum of 2^n paths; what is left of them when blocks are taken away (Veit et al., 2016, arXiv:1605.06431)."""

from __future__ import annotations

import itertools
from math import comb

import pytest
import torch
from torch import Tensor, nn

from striate.insight.ablate.lesions import Block, blocks_of, dropped
from striate.networks.catalog import network
from striate.networks.layers import Chain, Conv, Identity, Parallel
from striate.networks.network import Network

NUM_BLOCKS = 5


def stack(num_bodies: int = 1, *, shortcut: bool = True, channels: int = 3) -> Network:
    """Residual blocks of `num_bodies` convolutions side by side, without anything that bends; or plain ones."""
    blocks = {}
    for number in range(1, NUM_BLOCKS + 1):
        bodies = {"body" if place == 0 else f"branch{place}": Conv(channels, 3, padding=1, bias=False) for place in range(num_bodies)}
        if shortcut:
            blocks[f"block{number}"] = Parallel(**bodies, shortcut=Identity(), merge="sum")
        else:
            blocks[f"block{number}"] = Chain(conv=bodies["body"])
    return Network("stack", (channels, 6, 7), Chain(**blocks))


def built(net: Network) -> nn.Module:
    torch.manual_seed(0)
    return net.build().double().eval().requires_grad_(False)


def scaled(net: Network, t: float) -> nn.Module:
    """The network whose every convolution multiplies by t."""
    module = built(net)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            with torch.no_grad():
                part.weight.zero_()
                part.weight[range(part.out_channels), range(part.out_channels), 1, 1] = t
    return module


@pytest.mark.row("004-15")
def test_a_linear_residual_stack_is_the_sum_of_all_ways_through_its_bodies():
    module = built(stack())
    images = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    bodies = [module.get_submodule(f"block{number}.body") for number in range(1, NUM_BLOCKS + 1)]

    total, paths = torch.zeros_like(images), 0
    for taken in itertools.product((False, True), repeat=NUM_BLOCKS):
        x: Tensor = images
        for body, through in zip(bodies, taken, strict=True):
            x = body(x) if through else x
        total, paths = total + x, paths + 1

    assert paths == 2**NUM_BLOCKS
    torch.testing.assert_close(module(images), total)


@pytest.mark.row("004-15")
def test_the_paths_of_each_length_are_binomial():
    """With bodies that multiply by t the network multiplies by (1 + t)^n = sum of C(n, k) t^k: C(n, k) paths go through k bodies."""
    ts = torch.arange(NUM_BLOCKS + 1, dtype=torch.float64) / 4
    ones = torch.ones(1, 3, 6, 7, dtype=torch.float64)

    factors = torch.stack([scaled(stack(), float(t))(ones).mean() for t in ts])

    counts = torch.linalg.solve(torch.linalg.vander(ts), factors)
    torch.testing.assert_close(counts, torch.tensor([comb(NUM_BLOCKS, k) for k in range(NUM_BLOCKS + 1)]).double(), rtol=1e-6, atol=1e-6)


@pytest.mark.row("004-15")
@pytest.mark.parametrize("num_bodies", [1, 2, 4])
def test_depth_is_the_exponent_and_width_the_base_of_the_number_of_paths(num_bodies):
    """Bodies that hand on their input count the paths: 2^n of a ResNet, (C + 1)^n with C bodies side by side, 1 of a plain network."""
    ones = torch.ones(1, 3, 6, 7, dtype=torch.float64)

    assert float(scaled(stack(num_bodies), 1.0)(ones).mean()) == pytest.approx((num_bodies + 1) ** NUM_BLOCKS)
    assert float(scaled(stack(shortcut=False), 1.0)(ones).mean()) == pytest.approx(1)
    assert len(blocks_of(network("resnet20_cifar"))) == 9  # 512 paths


@pytest.mark.row("004-15", "004-20")
@pytest.mark.parametrize("gone", [0, 2, 4])
def test_a_block_taken_away_takes_half_of_the_paths_and_of_a_plain_network_the_only_one(gone):
    ones = torch.ones(1, 3, 6, 7, dtype=torch.float64)
    residual, plain = scaled(stack(), 1.0), scaled(stack(shortcut=False), 1.0)

    with dropped(residual, [Block(f"block{gone + 1}.body", identity=False)]):
        assert float(residual(ones).mean()) == pytest.approx(2 ** (NUM_BLOCKS - 1))
    with dropped(plain, [Block(f"block{gone + 1}", identity=False)]):
        assert not plain(ones).any()
    assert float(residual(ones).mean()) == pytest.approx(2**NUM_BLOCKS)
