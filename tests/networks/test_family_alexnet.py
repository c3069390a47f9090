"""AlexNet against the paper's sizes, torchvision and a plain restatement."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.layers import Conv


@pytest.mark.parametrize(("name", "params", "macs"), [("alexnet", 61_100_840, 714_188_480), ("alexnet_paper", 60_965_224, 724_406_816)])
@pytest.mark.row("003-51")
def test_alexnet_has_about_60_million_parameters(name: str, params: int, macs: int) -> None:
    net = network(name)

    assert (net.params, net.macs, net.receptive_field) == (params, macs, 195)
    assert net.output_shape == (1000,)


def test_alexnet_has_torchvisions_size_and_smallest_input() -> None:
    meta = torchvision.models.AlexNet_Weights.DEFAULT.meta
    net = network("alexnet")

    assert (net.params, net.smallest_input()) == (meta["num_params"], (3, *meta["min_size"]))


@pytest.mark.row("003-28")
def test_each_layer_of_alexnet_paper_has_the_size_of_the_paper() -> None:
    rows = network("alexnet_paper").rows
    weighted = [(row.output_shape, row.cost.params) for row in rows if row.cost.params]
    pooled = [row.output_shape for row in rows if row.path.endswith("pool")]

    assert weighted == [
        ((96, 55, 55), 34_944),
        ((256, 27, 27), 307_456),
        ((384, 13, 13), 885_120),
        ((384, 13, 13), 663_936),
        ((256, 13, 13), 442_624),
        ((4096,), 37_752_832),
        ((4096,), 16_781_312),
        ((1000,), 4_097_000),
    ]
    assert pooled == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]


@pytest.mark.row("003-28")
def test_alexnets_55_by_55_maps_need_227_pixels_or_padding() -> None:
    """(224 - 11) / 4 + 1 = 54.25, which is 54 places; (227 - 11) / 4 + 1 = 55; with 2 pixels of padding 224 give 55 too."""
    convolution = Conv(96, 11, stride=4)

    assert convolution.output_shape((3, 224, 227)) == (96, 54, 55)
    assert Conv(96, 11, stride=4, padding=2).output_shape((3, 224, 227)) == (96, 55, 56)


def test_fc6_of_alexnet_sees_355_pixels() -> None:
    """Section 4.3 of the FCN paper: a 6 x 6 window over pool5, which sees 195 pixels at 32 pixels from place to place."""
    view = {row.path: row.view for row in network("alexnet_paper").rows}["stage5.pool"]

    assert (view.size, view.stride) == ((195, 195), (32, 32))
    assert view.size[0] + (6 - 1) * view.stride[0] == 355


def test_alexnet_gives_torchvisions_logits_with_torchvisions_weights(peer_difference: Callable[..., float]) -> None:
    assert peer_difference(network("alexnet"), torchvision.models.alexnet) == 0


def test_alexnet_gives_torchvisions_logits_at_other_sizes(peer_difference: Callable[..., float]) -> None:
    assert peer_difference(network("alexnet", num_classes=7, input_size=(96, 260)), torchvision.models.alexnet, num_classes=7) < 1e-12


def plain_respond(maps: Tensor) -> Tensor:
    """The paper's response normalization of (N, C, H, W), channel by channel: n = 5, k = 2, alpha = 1e-4, beta = 0.75."""
    channels = maps.shape[1]
    sums = [maps[:, max(0, i - 2) : min(channels, i + 3)].square().sum(1) for i in range(channels)]
    return maps / (2 + 1e-4 * torch.stack(sums, 1)) ** 0.75


def test_alexnet_paper_is_two_columns_that_meet_in_the_third_convolution() -> None:
    """The halves on two GPUs written out, at 67 x 99 pixels."""
    torch.manual_seed(0)
    module = network("alexnet_paper", num_classes=7, input_size=(67, 99)).build().double().eval()
    state = list(module.state_dict().values())
    images = torch.randn(2, 3, 67, 99, dtype=torch.float64) * 50

    def halves(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        pieces = zip(x.chunk(2, 1), weight.chunk(2), bias.chunk(2), strict=True)
        return torch.cat([F.conv2d(piece, w, b, padding=w.shape[-1] // 2) for piece, w, b in pieces], 1).relu()

    with torch.no_grad():
        x = F.max_pool2d(plain_respond(F.conv2d(images, state[0], state[1], stride=4).relu()), 3, 2)
        x = F.max_pool2d(plain_respond(halves(x, state[2], state[3])), 3, 2)
        x = F.conv2d(x, state[4], state[5], padding=1).relu()
        x = halves(x, state[6], state[7])
        x = F.max_pool2d(halves(x, state[8], state[9]), 3, 2).flatten(1)
        x = F.linear(F.linear(x, state[10], state[11]).relu(), state[12], state[13]).relu()
        expected = F.linear(x, state[14], state[15])

        assert expected.std() > 1e-3
        torch.testing.assert_close(module(images), expected, rtol=0, atol=1e-10)


def test_dropout_of_alexnet_drops_half_of_both_hidden_layers() -> None:
    """At 67 x 67 pixels, so that the dense layers are small to make."""
    for name in ("alexnet", "alexnet_paper"):
        with torch.device("meta"):
            module = network(name, input_size=67).build()
        assert [part.p for part in module.modules() if isinstance(part, nn.Dropout)] == [0.5, 0.5]
