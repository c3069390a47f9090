"""Networks that torchvision or timm have too: the published parameters, the MACs that torch counts there, and the same logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from striate.networks.catalog import network


class Peer(NamedTuple):
    """One network and its peer."""

    name: str
    peer: str  # tv: torchvision's, else timm's
    params: int  # as the peer's documentation or its paper has them
    size: tuple[int, int]  # small, for logits
    run: str = ""  # "slow", or "release" where a smaller one of the same blocks is run every time

    def make(self, **options: Any) -> nn.Module:
        library, _, name = self.peer.rpartition(":")
        module: nn.Module = torchvision.models.get_model(name, **options) if library else timm.create_model(name, **options)
        return module


PEERS = (
    Peer("squeezenet1_0", "tv:squeezenet1_0", 1_248_424, (63, 96)),
    Peer("squeezenet1_1", "tv:squeezenet1_1", 1_235_496, (63, 96)),
    Peer("xception", "legacy_xception", 22_855_952, (63, 96), "slow"),
    Peer("inception_v4", "inception_v4", 42_679_816, (96, 80), "slow"),
    Peer("inception_resnet_v2", "inception_resnet_v2", 55_843_464, (96, 80), "slow"),
    Peer("resnet50d", "resnet50d", 25_576_264, (33, 64), "slow"),
    Peer("resnet101d", "resnet101d", 44_568_392, (33, 64), "release"),
    Peer("wide_resnet50_2", "tv:wide_resnet50_2", 68_883_240, (33, 64), "slow"),
    Peer("wide_resnet101_2", "tv:wide_resnet101_2", 126_886_696, (33, 64), "release"),
    Peer("se_resnet50", "seresnet50", 28_088_024, (33, 64)),
    Peer("se_resnet101", "seresnet101", 49_326_872, (33, 64), "release"),
    Peer("se_resnet152", "seresnet152", 66_821_848, (33, 64), "release"),
    Peer("se_resnext50_32x4d", "seresnext50_32x4d", 27_559_896, (33, 64), "slow"),
    Peer("se_resnext101_32x4d", "seresnext101_32x4d", 48_955_416, (33, 64), "release"),
    Peer("mobilenet_v1", "mobilenetv1_100", 4_231_976, (63, 96)),
    Peer("mobilenet_v3_large", "tv:mobilenet_v3_large", 5_483_032, (63, 96)),
    Peer("mobilenet_v3_small", "tv:mobilenet_v3_small", 2_542_856, (63, 96), "slow"),
    Peer("shufflenet_v2_x0_5", "tv:shufflenet_v2_x0_5", 1_366_792, (63, 96), "release"),
    Peer("shufflenet_v2_x1_0", "tv:shufflenet_v2_x1_0", 2_278_604, (63, 96)),
    Peer("shufflenet_v2_x1_5", "tv:shufflenet_v2_x1_5", 3_503_624, (63, 96), "release"),
    Peer("shufflenet_v2_x2_0", "tv:shufflenet_v2_x2_0", 7_393_996, (63, 96), "release"),
    Peer("regnet_x_400mf", "regnetx_004_tv", 5_495_976, (63, 96), "slow"),
    Peer("regnet_x_800mf", "regnetx_008", 7_259_656, (63, 96), "release"),
    Peer("regnet_x_1_6gf", "regnetx_016", 9_190_136, (63, 96), "release"),
    Peer("regnet_x_3_2gf", "regnetx_032", 15_296_552, (63, 96), "release"),
    Peer("regnet_y_400mf", "regnety_004", 4_344_144, (63, 96)),
    Peer("regnet_y_800mf", "regnety_008_tv", 6_432_512, (63, 96), "release"),
    Peer("regnet_y_1_6gf", "regnety_016", 11_202_430, (63, 96), "release"),
    Peer("regnet_y_3_2gf", "regnety_032", 19_436_338, (63, 96), "release"),
    Peer("efficientnet_v2_s", "tv:efficientnet_v2_s", 21_458_488, (63, 96), "slow"),
    Peer("convnextv2_tiny", "convnextv2_tiny", 28_635_496, (63, 96)),
)


with_peer = pytest.mark.parametrize(
    "row", [pytest.param(row, marks=getattr(pytest.mark, row.run) if row.run else (), id=row.name) for row in PEERS]
)


@pytest.mark.parametrize("row", PEERS, ids=lambda row: row.name)
def test_a_network_has_the_published_parameters(row: Peer) -> None:
    assert network(row.name).params == row.params


@with_peer
def test_a_network_has_its_peers_parameters_and_macs(row: Peer) -> None:
    """torch counts the multiply-adds of the peer, as two FLOPs each."""
    net = network(row.name)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        peer = row.make().eval()
        peer(torch.empty(1, *net.input_shape))

    assert net.params == sum(parameter.numel() for parameter in peer.parameters())
    assert net.flops == counter.get_total_flops()


@with_peer
def test_a_network_gives_its_peers_logits_with_its_peers_weights(row: Peer, peer_difference: Callable[..., float]) -> None:
    net = network(row.name, num_classes=17, input_size=row.size)
    assert peer_difference(net, row.make, num_classes=17) == 0
