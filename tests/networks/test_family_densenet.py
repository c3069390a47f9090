"""DenseNet against published counts, torchvision, timm and a plain restatement of its blocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.families.densenet import densenet_bc_cifar, densenet_cifar
from striate.networks.network import Network

# torchvision 0.29 at 224 x 224: parameters and MACs of each part
PARTS = {
    "stem": (9_536, 118_013_952),
    "stage1": (335_040, 1_040_449_536),
    "transition1": (33_280, 102_760_448),
    "stage2": (919_680, 712_900_608),
    "transition2": (132_096, 102_760_448),
    "stage3": (2_837_760, 549_126_144),
    "transition3": (526_336, 102_760_448),
    "stage4": (2_158_080, 104_366_080),
    "head": (1_025_000, 1_024_000),
}


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("densenet121", 7_978_856, 2_834_161_664),
        ("densenet169", 14_149_480, 3_359_843_328),
        ("densenet201", 20_013_928, 4_291_365_888),
        ("densenet_40_12", 1_019_722, 264_812_928),
        ("densenet_100_12", 6_979_642, 1_769_516_448),
        ("densenet_bc_40_12", 176_122, 72_365_352),
        ("densenet_bc_100_12", 769_162, 287_929_692),
        ("densenet_bc_250_24", 15_324_406, 5_418_785_724),
        ("densenet_bc_190_40", 25_624_430, 9_301_945_740),
    ],
)
@pytest.mark.row("004-9")
def test_densenets_have_the_published_parameters_and_macs(name: str, params: int, macs: int) -> None:
    """The paper's Table 2 prints 1.0, 7.0, 0.8, 15.3 and 25.6 million for the forms for CIFAR."""
    net = network(name)

    assert (net.params, net.macs) == (params, macs)


@pytest.mark.parametrize(
    ("name", "depth"), [("densenet121", 121), ("densenet201", 201), ("densenet_40_12", 40), ("densenet_bc_250_24", 250)]
)
def test_the_number_in_the_name_counts_the_layers_with_weights(name: str, depth: int) -> None:
    assert sum(row.layer.kind in ("conv", "linear") for row in network(name).rows) == depth


def test_the_parts_of_densenet121_have_their_parameters_macs_and_widths(part_cost: Callable[[Network, str], tuple[int, int]]) -> None:
    net = network("densenet121")
    between = [part for part in PARTS if part != "head"]

    assert {part: part_cost(net, part) for part in PARTS} == PARTS
    assert [shape[0] for shape in net.shapes_at(between).values()] == [64, 256, 128, 512, 256, 1024, 512, 1024]
    assert [shape[1] for shape in net.shapes_at(between).values()] == [56, 56, 28, 28, 14, 14, 7, 7]
    assert net.receptive_field == 2071


def test_each_layer_of_a_block_adds_as_many_maps_as_the_growth_says() -> None:
    net = network("densenet_bc_100_12")
    widths = [shape[0] for shape in net.shapes_at([f"stage1.block{i}" for i in range(1, 17)]).values()]

    assert widths == list(range(24 + 12, 24 + 17 * 12, 12))
    assert net.shapes_at(["transition1"])["transition1"] == ((24 + 16 * 12) // 2, 16, 16)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("densenet121", (33, 64)),
        pytest.param("densenet169", (33, 64), marks=pytest.mark.release),
        pytest.param("densenet201", (33, 64), marks=pytest.mark.release),
        pytest.param("densenet121", (224, 224), marks=pytest.mark.slow),
    ],
)
@pytest.mark.row("004-9")
def test_densenets_give_torchvisions_logits_with_torchvisions_weights(
    name: str, size: tuple[int, int], peer_difference: Callable[..., float]
) -> None:
    net = network(name, num_classes=17, input_size=size)
    assert peer_difference(net, getattr(torchvision.models, name), num_classes=17) == 0


@pytest.mark.slow
def test_densenet121_gives_timms_logits_with_timms_weights(peer_difference: Callable[..., float]) -> None:
    net = network("densenet121", num_classes=17, input_size=(33, 64))
    assert peer_difference(net, lambda **options: timm.create_model("densenet121", **options), num_classes=17) == 0


@pytest.mark.parametrize(("bottleneck", "depth"), [(False, 13), (True, 16)])
@pytest.mark.row("004-9")
def test_each_layer_for_cifar_reads_all_maps_before_it(bottleneck: bool, depth: int) -> None:
    """A plain restatement, growth 5: a list of maps, each layer reading their concatenation."""
    torch.manual_seed(0)
    describe = densenet_bc_cifar if bottleneck else densenet_cifar
    module = Network("net", (3, 12, 20), describe(7, depth, 5)).build().double().eval()
    for norm in (child for child in module.modules() if isinstance(child, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
    values = iter([tensor for name, tensor in module.state_dict().items() if not name.endswith("tracked")])

    def normed(x: Tensor) -> Tensor:
        scale, shift, mean, variance = (next(values)[:, None, None] for _ in range(4))
        return (scale * (x - mean) / (variance + 1e-5).sqrt() + shift).clamp(min=0)

    images = torch.randn(2, 3, 12, 20, dtype=torch.float64)
    x = F.conv2d(images, next(values), padding=1)
    for stage in (1, 2, 3):
        maps = [x]
        for _ in range((depth - 4) // (6 if bottleneck else 3)):
            new = torch.cat(maps, dim=1)
            if bottleneck:
                new = F.conv2d(normed(new), next(values))
                assert new.shape[1] == 4 * 5
            maps.append(F.conv2d(normed(new), next(values), padding=1))
        x = torch.cat(maps, dim=1)
        if stage < 3:
            x = F.avg_pool2d(F.conv2d(normed(x), next(values)), 2)
    expected = normed(x).mean((2, 3)) @ next(values).T + next(values)

    torch.testing.assert_close(module(images), expected, rtol=1e-9, atol=1e-9)
    assert next(values, None) is None
