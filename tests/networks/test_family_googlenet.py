"""GoogLeNet against the counts of its modules, torchvision and a plain restatement."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.layers import Conv, Parallel
from striate.networks.network import Network

# of each module at 224 x 224: parameters and MACs, by the formulas of a convolution
PAPER = {
    "inception3a": (163_696, 128_049_152),
    "inception3b": (388_736, 304_267_264),
    "inception4a": (376_176, 73_608_192),
    "inception4b": (449_160, 87_908_352),
    "inception4c": (510_104, 99_850_240),
    "inception4d": (605_376, 118_515_712),
    "inception4e": (868_352, 169_996_288),
    "inception5a": (1_043_456, 51_079_168),
    "inception5b": (1_444_080, 70_697_984),
}
TORCHVISION = {
    "inception3a": (155_872, 121_626_624),
    "inception3b": (340_224, 265_732_096),
    "inception4a": (364_512, 71_199_744),
    "inception4b": (425_232, 83_091_456),
    "inception4c": (486_192, 95_033_344),
    "inception4d": (573_312, 112_093_184),
    "inception4e": (803_840, 157_151_232),
    "inception5a": (978_944, 47_867_904),
    "inception5b": (1_347_040, 65_881_088),
}


def part_cost(net: Network, part: str) -> tuple[int, int]:
    """Parameters and MACs of all rows under `part`."""
    rows = [row for row in net.rows if row.path.startswith(part + ".")]
    return sum(row.cost.params for row in rows), sum(row.cost.macs for row in rows)


@pytest.mark.parametrize(
    ("name", "params", "with_heads", "macs", "field"),
    [
        ("googlenet", 6_624_904, 13_004_888, 1_498_376_192, 379),
        ("googlenet_paper", 6_998_552, 13_378_280, 1_582_671_872, 715),
    ],
)
@pytest.mark.row("003-57")
def test_googlenet_has_its_parameters_with_and_without_the_auxiliary_heads(
    name: str, params: int, with_heads: int, macs: int, field: int
) -> None:
    """Heads on 4a and 4d, each with 0.3 of the loss; none of them is in the network that answers."""
    net = network(name)
    with torch.device("meta"):
        trained, answering = net.build(heads=True), net.build()

    assert (net.params, net.macs, net.receptive_field) == (params, macs, field)
    assert [(head.at, head.weight) for head in net.heads] == [("inception4a", 0.3), ("inception4d", 0.3)]
    assert sum(p.numel() for p in trained.parameters()) == with_heads
    assert sum(p.numel() for p in answering.parameters()) == params


@pytest.mark.parametrize(("name", "modules"), [("googlenet", TORCHVISION), ("googlenet_paper", PAPER)])
@pytest.mark.row("002-15")
def test_each_module_of_googlenet_has_its_parameters_and_macs(name: str, modules: dict[str, tuple[int, int]]) -> None:
    net = network(name)

    assert {part: part_cost(net, part) for part in modules} == modules
    assert list(net.shapes_at(list(modules)).values()) == [
        (256, 28, 28),
        (480, 28, 28),
        *[(512, 14, 14)] * 3,
        (528, 14, 14),
        (832, 14, 14),
        (832, 7, 7),
        (1024, 7, 7),
    ]


@pytest.mark.row("003-56")
def test_the_first_module_joins_four_branches_of_64_128_32_and_32_maps() -> None:
    """28 x 28 x 192: the 5 x 5 branch would cost 120,422,400 MACs without its bottleneck of 16 maps and costs 12,443,648 with it."""
    net = network("googlenet_paper")
    rows = {row.path: row for row in net.rows}
    last = ["branch1x1.conv", "branch3x3.unit.conv", "branch5x5.unit.conv", "branch_pool.project.conv"]

    assert rows["inception3a.branch1x1.conv"].input_shape == (192, 28, 28)
    assert [rows[f"inception3a.{path}"].output_shape[0] for path in last] == [64, 128, 32, 32]
    assert part_cost(net, "inception3a.branch5x5")[1] == 12_443_648
    assert Conv(32, 5, padding=2).cost((192, 28, 28)).macs == 120_422_400


@pytest.mark.row("003-57")
def test_every_large_convolution_of_a_module_has_a_bottleneck_before_it() -> None:
    for name in ("googlenet", "googlenet_paper"):
        net = network(name)
        modules = [part for _, part in net.root.children if isinstance(part, Parallel)]
        assert len(modules) == 9
        for part in modules:
            for branch in ("branch3x3", "branch5x5"):
                reduce, unit = part[f"{branch}.reduce.conv"], part[f"{branch}.unit.conv"]
                assert isinstance(reduce, Conv)
                assert isinstance(unit, Conv)
                assert reduce.kernel_size == 1 < unit.kernel_size
                assert reduce.out_channels < unit.out_channels


@pytest.mark.parametrize("size", [(95, 64), pytest.param((224, 224), marks=pytest.mark.slow)])
def test_googlenet_gives_torchvisions_logits_with_torchvisions_weights(
    size: tuple[int, int], peer_difference: Callable[..., float]
) -> None:
    net = network("googlenet", num_classes=17, input_size=size)
    assert peer_difference(net, torchvision.models.googlenet, num_classes=17, aux_logits=False, init_weights=False) == 0


def test_googlenet_has_torchvisions_size_and_smallest_input() -> None:
    meta = torchvision.models.GoogLeNet_Weights.DEFAULT.meta
    net = network("googlenet")

    assert (net.params, net.smallest_input()) == (meta["num_params"], (3, *meta["min_size"]))


def test_googlenet_on_small_images_leaves_out_the_heads_that_do_not_fit_and_says_so() -> None:
    net = network("googlenet", num_classes=10, input_size=32)

    assert net.heads == ()
    assert [line.split(":")[0] for line in net.provenance] == [
        "left out the auxiliary head at inception4a",
        "left out the auxiliary head at inception4d",
    ]
    assert "needs at least 5 x 5 places, got 2 x 2" in net.provenance[0]


def plain_googlenet(weights: Iterator[Tensor], x: Tensor) -> Tensor:
    """The paper's network as plain functions that take the next weights as they need them."""

    def unit(x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = next(weights), next(weights)
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2).relu()

    def halve(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def respond(x: Tensor) -> Tensor:
        return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)

    def module(x: Tensor) -> Tensor:
        return torch.cat([unit(x), unit(unit(x)), unit(unit(x)), unit(F.max_pool2d(x, 3, 1, 1))], 1)

    x = respond(halve(unit(x, 2)))
    x = halve(respond(unit(unit(x))))
    for part in ("3a", "3b", "halve", "4a", "4b", "4c", "4d", "4e", "halve", "5a", "5b"):
        x = halve(x) if part == "halve" else module(x)
    return F.linear(x.mean((2, 3)), next(weights), next(weights))


@pytest.mark.row("004-7")
def test_googlenet_paper_is_the_same_function_as_a_plain_restatement() -> None:
    torch.manual_seed(0)
    module = network("googlenet_paper", num_classes=7, input_size=(95, 64)).build().double().eval()
    for name, parameter in module.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.kaiming_normal_(parameter)  # so that the image still counts after 22 layers
    images = torch.randn(2, 3, 95, 64, dtype=torch.float64) * 10

    with torch.no_grad():
        expected = plain_googlenet(iter(module.parameters()), images)
        assert (expected[0] - expected[1]).abs().max() > 1e-3
        torch.testing.assert_close(module(images), expected, rtol=1e-12, atol=1e-12)
