"""Inception with batch normalization and Inception v3 against published counts, torchvision, timm and a plain restatement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.network import Network

# modules of the released BN-Inception and of the paper's: parameters
RELEASED = (219_552, 260_704, 385_632, 610_848, 666_240, 915_456, 1_144_000, 1_451_008, 2_210_496, 2_281_248)
PAPER = (219_072, 260_160, 385_088, 609_984, 665_344, 895_936, 1_108_032, 1_439_744, 2_182_272, 2_279_616)
BN_MODULES = ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b")

# torchvision 0.29 at 299 x 299: parameters and MACs of each module
V3_MODULES = {
    "mixed5b": (255_904, 312_345_600),
    "mixed5c": (277_472, 338_688_000),
    "mixed5d": (285_152, 348_096_000),
    "mixed6a": (1_153_280, 401_937_408),
    "mixed6b": (1_297_408, 374_063_104),
    "mixed6c": (1_691_008, 487_702_528),
    "mixed6d": (1_691_008, 487_702_528),
    "mixed6e": (2_141_952, 617_914_368),
    "mixed7a": (1_698_304, 291_004_416),
    "mixed7b": (5_044_608, 322_437_120),
    "mixed7c": (6_076_800, 388_497_408),
}


def part_cost(net: Network, part: str) -> tuple[int, int]:
    """Parameters and MACs of all rows under `part`."""
    rows = [row for row in net.rows if row.path.startswith(part + ".")]
    return sum(row.cost.params for row in rows), sum(row.cost.macs for row in rows)


def head_params(net: Network) -> int:
    """Parameters of the auxiliary heads."""
    shapes = net.shapes_at([head.at for head in net.heads])
    return sum(head.head.cost(shapes[head.at]).params for head in net.heads)


@pytest.mark.parametrize(
    ("name", "params", "macs", "field"),
    [
        ("bn_inception", 11_295_240, 2_032_600_064, 699),
        ("bn_inception_paper", 11_194_984, 2_018_851_840, 699),
        ("inception_v3", 23_834_568, 5_713_216_096, 1311),
    ],
)
def test_inception_has_the_published_parameters_macs_and_receptive_field(name: str, params: int, macs: int, field: int) -> None:
    """Receptive fields as computed by Araujo, Norris and Sim, 2019."""
    net = network(name)

    assert (net.params, net.macs, net.receptive_field) == (params, macs, field)
    assert net.output_shape == (1000,)


@pytest.mark.parametrize(("name", "params"), [("bn_inception", RELEASED), ("bn_inception_paper", PAPER)])
def test_each_module_of_bn_inception_has_its_parameters(name: str, params: tuple[int, ...]) -> None:
    net = network(name)

    assert tuple(part_cost(net, f"inception{module}")[0] for module in BN_MODULES) == params


def test_with_96_channels_after_pooling_the_widths_of_bn_inception_are_the_papers() -> None:
    net = network("bn_inception_paper")
    widths = net.shapes_at([f"inception{module}" for module in BN_MODULES])

    assert [shape[0] for shape in widths.values()] == [256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024]
    assert [shape[1] for shape in widths.values()] == [28, 28, 14, 14, 14, 14, 14, 7, 7, 7]


def test_each_module_of_inception_v3_has_its_parameters_and_macs() -> None:
    net = network("inception_v3")

    assert {part: part_cost(net, part) for part in V3_MODULES} == V3_MODULES
    assert net.shapes_at(["mixed5d", "mixed6e", "mixed7c"]) == {
        "mixed5d": (288, 35, 35),
        "mixed6e": (768, 17, 17),
        "mixed7c": (2048, 8, 8),
    }


def test_inception_v3_with_its_auxiliary_head_has_the_27_million_parameters_of_torchvision() -> None:
    net = network("inception_v3")

    assert net.params + head_params(net) == 27_161_264
    assert net.params + head_params(net) == torchvision.models.Inception_V3_Weights.DEFAULT.meta["num_params"]
    assert [(head.at, head.weight) for head in net.heads] == [("mixed6e", 0.4)]


@pytest.mark.parametrize("size", [(107, 139), pytest.param((299, 299), marks=pytest.mark.slow)])
def test_inception_v3_gives_torchvisions_logits_with_torchvisions_weights(
    size: tuple[int, int], peer_difference: Callable[..., float]
) -> None:
    net = network("inception_v3", num_classes=17, input_size=size)
    assert peer_difference(net, torchvision.models.inception_v3, num_classes=17, aux_logits=False, init_weights=False) == 0


def test_inception_v3_gives_timms_logits_with_timms_weights(peer_difference: Callable[..., float]) -> None:
    timm = pytest.importorskip("timm")
    net = network("inception_v3", num_classes=17, input_size=(107, 139))
    assert peer_difference(net, timm.create_model, model_name="inception_v3", num_classes=17, aux_logits=False) == 0


def test_the_smallest_input_of_inception_v3_is_torchvisions() -> None:
    smallest = torchvision.models.Inception_V3_Weights.DEFAULT.meta["min_size"]

    assert smallest == (75, 75)
    assert network("inception_v3").smallest_input() == (3, *smallest)


def test_the_auxiliary_head_of_inception_v3_gives_torchvisions_logits_in_training() -> None:
    """Logits of both classifiers, from the same weights, in training mode with the dropout off."""
    torch.manual_seed(0)
    peer = torchvision.models.inception_v3(num_classes=7, aux_logits=True, init_weights=False, dropout=0).double()
    net = network("inception_v3", num_classes=7)
    module: Any = net.build(heads=True).double()
    module.network.head.dropout.p = 0
    auxiliary = [value for name, value in peer.state_dict().items() if name.startswith("AuxLogits")]
    main = [value for name, value in peer.state_dict().items() if not name.startswith("AuxLogits")]
    module.load_state_dict(dict(zip(module.state_dict(), [*main, *auxiliary], strict=True)))
    images = torch.randn(2, 3, 299, 299, dtype=torch.float64)

    with torch.no_grad():
        expected = peer(images)
        logits, (side,) = module.forward_with_heads(images, torch.zeros(2).long())

    assert (logits - expected.logits).abs().max() == 0
    assert (side.scores - expected.aux_logits).abs().max() == 0


class PlainBNInception:
    """BN-Inception as plain functions that take the next weights as they need them."""

    def __init__(self, state: list[Tensor], *, bias: bool) -> None:
        self.state, self.bias = iter(state), bias

    def unit(self, x: Tensor, stride: int = 1) -> Tensor:
        weight = next(self.state)
        bias = next(self.state) if self.bias else None
        scale, shift, mean, variance, _ = (next(self.state) for _ in range(5))
        x = F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)
        return F.relu(F.batch_norm(x, mean, variance, scale, shift, eps=1e-5))

    def module(self, x: Tensor, kind: str) -> Tensor:
        stride = 2 if kind == "stride" else 1
        branches = [] if kind == "stride" else [self.unit(x)]
        branches.append(self.unit(self.unit(x), stride))
        branches.append(self.unit(self.unit(self.unit(x)), stride))
        if kind == "stride":
            branches.append(F.max_pool2d(x, 3, 2, ceil_mode=True))
        elif kind == "max":
            branches.append(self.unit(F.max_pool2d(x, 3, 1, 1)))
        else:
            branches.append(self.unit(F.avg_pool2d(x, 3, 1, 1)))
        return torch.cat(branches, 1)

    def logits(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.unit(x, 2), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.unit(self.unit(x)), 3, 2, ceil_mode=True)
        for kind in ("avg", "avg", "stride", "avg", "avg", "avg", "avg", "stride", "avg", "max"):
            x = self.module(x, kind)
        return F.linear(x.mean((2, 3)), next(self.state), next(self.state))


@pytest.mark.parametrize(("name", "bias"), [("bn_inception", True), ("bn_inception_paper", False)])
def test_bn_inception_is_the_same_function_as_a_plain_restatement(name: str, bias: bool) -> None:
    torch.manual_seed(0)
    module = network(name, num_classes=7, input_size=(96, 64)).build().double().eval()
    for norm in (part for part in module.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        nn.init.normal_(norm.running_mean)
    images = torch.randn(2, 3, 96, 64, dtype=torch.float64)

    with torch.inference_mode():
        expected = PlainBNInception(list(module.state_dict().values()), bias=bias).logits(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(module(images), expected, rtol=0, atol=1e-12)
