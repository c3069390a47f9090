"""Network in Network against the layer sizes of its authors' models and against a plain restatement."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.networks.catalog import network
from striate.networks.layers import Conv


@pytest.mark.parametrize(("name", "params", "macs"), [("nin_cifar", 966_986, 222_486_528), ("nin", 7_595_176, 1_100_188_800)])
def test_nin_has_the_parameters_and_macs_of_its_authors_models(name: str, params: int, macs: int) -> None:
    net = network(name)

    assert (net.params, net.macs) == (params, macs)
    assert sum(p.numel() for p in net.build().parameters()) == params


@pytest.mark.row("004-6")
def test_the_perceptrons_of_nin_do_not_widen_the_receptive_field() -> None:
    """Windows 5, 3 (stride 2), 5, 3 (stride 2), 3 see 5 + 2 + 4 x 2 + 2 x 2 + 2 x 4 = 27 places; 1 x 1 kernels add none."""
    net = network("nin_cifar")
    sizes = {row.path: row.view.size for row in net.rows if isinstance(row.layer, Conv)}

    assert net.receptive_field == 27
    for stage, seen in (("stage1", 5), ("stage2", 15), ("stage3", 27)):
        assert [sizes[f"{stage}.unit{i}.conv"] for i in (1, 2, 3)] == [(seen, seen)] * 3


def test_the_maps_of_nin_shrink_as_in_the_authors_models() -> None:
    shapes = {row.path: row.output_shape for row in network("nin").rows}

    assert shapes["stage1.unit1.conv"] == (96, 54, 54)
    assert [shapes[f"stage{i}.pool"] for i in (1, 2, 3)] == [(96, 27, 27), (256, 13, 13), (384, 6, 6)]
    assert [(row.output_shape, row.cost.params) for row in network("nin_cifar").rows if isinstance(row.layer, Conv)] == [
        ((192, 32, 32), 14_592),
        ((160, 32, 32), 30_880),
        ((96, 32, 32), 15_456),
        ((192, 16, 16), 460_992),
        ((192, 16, 16), 37_056),
        ((192, 16, 16), 37_056),
        ((192, 8, 8), 331_968),
        ((192, 8, 8), 37_056),
        ((10, 8, 8), 1_930),
    ]


def test_nin_cifar_is_the_chain_of_plain_torch_layers() -> None:
    """The authors' Caffe model written out; pooling 32 by 3 x 3 windows with stride 2 gives 16 places because Caffe rounds up."""
    torch.manual_seed(0)
    sizes = [
        (3, 192, 5),
        (192, 160, 1),
        (160, 96, 1),
        (96, 192, 5),
        (192, 192, 1),
        (192, 192, 1),
        (192, 192, 3),
        (192, 192, 1),
        (192, 7, 1),
    ]
    layers: list[nn.Module] = []
    for index, (in_channels, out_channels, kernel) in enumerate(sizes):
        layers += [nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2), nn.ReLU()]
        if index == 2:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        if index == 5:
            layers.append(nn.AvgPool2d(3, 2, ceil_mode=True))
    plain = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    module = network("nin_cifar", num_classes=7).build().double().eval()
    for ours, theirs in zip(module.parameters(), plain.parameters(), strict=True):
        ours.data.copy_(theirs.data)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    with torch.inference_mode():
        torch.testing.assert_close(module(images), plain(images), rtol=0, atol=1e-12)
