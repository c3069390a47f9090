"""ResNet, ResNeXt and ResNet v2 for ImageNet against published counts, torchvision, timm and the equivalent forms of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from striate.core.errors import RefusedFileError, UsageError
from striate.networks.catalog import network
from striate.networks.families.parts import bottleneck, conv_norm, preact_residual
from striate.networks.layers import BatchNorm, Chain, Conv, Identity, Parallel
from striate.networks.network import Network

STAGES = ("stage1", "stage2", "stage3", "stage4")

# torchvision 0.29 at 224 x 224: parameters and MACs of each stage
STAGE_COSTS = {
    "resnet18": ((147_968, 462_422_016), (525_568, 411_041_792), (2_099_712, 411_041_792), (8_393_728, 411_041_792)),
    "resnet34": ((221_952, 693_633_024), (1_116_416, 873_463_808), (6_822_400, 1_335_885_824), (13_114_368, 642_252_800)),
    "resnet50": ((215_808, 667_942_912), (1_219_584, 1_027_604_480), (7_098_368, 1_464_336_384), (14_964_736, 809_238_528)),
    "resnet101": ((215_808, 667_942_912), (1_219_584, 1_027_604_480), (26_090_496, 5_176_557_568), (14_964_736, 809_238_528)),
    "resnet152": ((215_808, 667_942_912), (2_339_840, 1_901_068_288), (40_613_888, 8_015_314_944), (14_964_736, 809_238_528)),
    "resnext50_32x4d": ((205_824, 634_224_640), (1_197_056, 1_085_407_232), (7_022_592, 1_525_350_400), (14_544_896, 865_435_648)),
}


@pytest.mark.parametrize(
    ("name", "params", "macs", "field"),
    [
        ("resnet18", 11_689_512, 1_814_073_344, 435),
        ("resnet34", 21_797_672, 3_663_761_408, 899),
        ("resnet50", 25_557_032, 4_089_184_256, 427),
        ("resnet101", 44_549_160, 7_801_405_440, 971),
        ("resnet152", 60_192_808, 11_513_626_624, 1451),
        ("resnet50_paper", 25_557_032, 3_857_973_248, 483),
        ("resnet101_paper", 44_549_160, 7_570_194_432, 1027),
        ("resnet152_paper", 60_192_808, 11_282_415_616, 1507),
        ("resnext50_32x4d", 25_028_904, 4_230_479_872, 427),
        ("resnext101_32x8d", 88_791_336, 16_414_015_488, 971),
        ("resnetv2_50", 25_549_352, 4_089_184_256, 427),
    ],
)
@pytest.mark.row("004-9")
def test_residual_networks_have_the_published_parameters_macs_and_receptive_field(name: str, params: int, macs: int, field: int) -> None:
    """The paper prints 3.8, 7.6 and 11.3 billion MACs for its 50, 101 and 152 layers; fields of the published forms after Araujo 2019."""
    net = network(name)

    assert (net.params, net.macs, net.receptive_field) == (params, macs, field)
    assert net.output_shape == (1000,)


@pytest.mark.parametrize("name", STAGE_COSTS)
def test_each_stage_has_its_parameters_macs_and_size(name: str, part_cost: Callable[[Network, str], tuple[int, int]]) -> None:
    net = network(name)
    shapes = net.shapes_at(list(STAGES))

    assert tuple(part_cost(net, stage) for stage in STAGES) == STAGE_COSTS[name]
    assert [shape[1:] for shape in shapes.values()] == [(56, 56), (28, 28), (14, 14), (7, 7)]
    assert part_cost(net, "stem") == (9_536, 118_013_952)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152_paper", "resnext50_32x4d", "resnetv2_50"])
def test_the_number_in_the_name_counts_the_layers_with_weights_outside_shortcuts(name: str) -> None:
    rows = [row for row in network(name).rows if row.layer.kind in ("conv", "linear") and ".shortcut" not in row.path]
    digits = name.removesuffix("_paper").split("_")[-2 if "x4d" in name else -1].removeprefix("resnet").removeprefix("resnext")

    assert len(rows) == int(digits)


PEERS = [
    pytest.param("resnet18", (33, 64)),
    pytest.param("resnet50", (33, 64)),
    pytest.param("resnext50_32x4d", (33, 64)),
    pytest.param("resnet34", (33, 64), marks=pytest.mark.slow),
    *(pytest.param(name, (33, 64), marks=pytest.mark.release) for name in ("resnet101", "resnet152", "resnext101_32x8d")),
    pytest.param("resnet50", (224, 224), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "size"), PEERS)
@pytest.mark.row("004-9")
def test_residual_networks_give_torchvisions_logits_with_torchvisions_weights(
    name: str, size: tuple[int, int], peer_difference: Callable[..., float]
) -> None:
    net = network(name, num_classes=17, input_size=size)
    assert peer_difference(net, getattr(torchvision.models, name), num_classes=17) == 0


@pytest.mark.parametrize(
    "name", ["resnetv2_50", pytest.param("resnet18", marks=pytest.mark.slow), pytest.param("resnext50_32x4d", marks=pytest.mark.slow)]
)
@pytest.mark.row("004-9")
def test_residual_networks_give_timms_logits_with_timms_weights(name: str, peer_difference: Callable[..., float]) -> None:
    net = network(name, num_classes=17, input_size=(33, 64))
    assert peer_difference(net, lambda **options: timm.create_model(name, **options), num_classes=17) == 0


def test_the_published_form_halves_the_size_in_the_first_1x1_and_todays_in_the_3x3() -> None:
    """Parameters cannot tell the two apart."""
    published, todays = ({row.path: row for row in network(name).rows} for name in ("resnet50_paper", "resnet50"))

    for stage in STAGES[1:]:
        block = f"{stage}.block1.body"
        sizes = [[rows[f"{block}.{part}.conv"].output_shape[1] for part in ("reduce", "unit", "expand")] for rows in (published, todays)]
        half = sizes[0][2]
        assert sizes == [[half, half, half], [2 * half, half, half]]


def slices(source: nn.Module, group: int, width: int) -> Iterator[tuple[str, Tensor]]:
    """What one of the paths of width `width` takes of a grouped bottleneck: rows of what makes its channels, columns of what reads them."""
    span = slice(group * width, (group + 1) * width)
    for name, tensor in source.state_dict().items():
        if name.startswith(("reduce", "unit")):
            yield name, tensor[span] if tensor.ndim else tensor
        elif name == "expand.conv.weight":
            yield name, tensor[:, span]


def test_the_three_forms_of_a_resnext_block_are_one_function() -> None:
    """Figure 3 of Xie et al.: the sum of narrow bottlenecks (a), their early concatenation (b), and one with grouped convolution (c)."""
    torch.manual_seed(0)
    groups, width, shape = 4, 3, (10, 5, 7)
    paths = {f"path{i}": Chain(reduce=conv_norm(width, 1), unit=conv_norm(width, 3)) for i in range(groups)}
    summed = {name: Chain(**dict(path.children), expand=Chain(conv=Conv(14, 1, bias=False))) for name, path in paths.items()}
    form_a = Chain(paths=Parallel(**summed, merge="sum"), norm=BatchNorm()).build(shape).double().eval()
    form_b = Chain(paths=Parallel(**paths, merge="concat"), expand=conv_norm(14, 1, act=None)).build(shape).double().eval()
    form_c = bottleneck(groups * width, 14, groups=groups).build(shape).double().eval()
    for norm in (module for module in form_c.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
    for group in range(groups):
        part = dict(slices(form_c, group, width))
        form_a.get_submodule(f"paths.path{group}").load_state_dict(part)
        form_b.get_submodule(f"paths.path{group}").load_state_dict({name: t for name, t in part.items() if "expand" not in name})
    form_a.get_submodule("norm").load_state_dict(form_c.get_submodule("expand.norm").state_dict())
    form_b.get_submodule("expand").load_state_dict(form_c.get_submodule("expand").state_dict())
    images = torch.randn(2, *shape, dtype=torch.float64)

    expected = form_c(images)

    torch.testing.assert_close(form_a(images), expected)
    torch.testing.assert_close(form_b(images), expected)
    assert expected.std() > 0.1


def preact_block() -> Parallel:
    """A pre-activation block of 6 channels that halves 4 x 8 x 12 and joins by a projection."""
    units = (Chain(norm=BatchNorm(), act=Identity(), conv=Conv(6, 3, stride=2, padding=1)), Chain(conv=Conv(6, 1)))
    return preact_residual(*units, shortcut=Conv(6, 1, stride=2))


def test_a_trunk_runs_before_the_branches_wherever_it_stands() -> None:
    """shortcut(n(x)) + body(n(x)); the weights stand in the order that timm has them in."""
    torch.manual_seed(0)
    block = preact_block()
    module = block.build((4, 8, 12))
    images = torch.randn(2, 4, 8, 12) + 3

    first = nn.functional.batch_norm(images, None, None, torch.ones(4), torch.zeros(4), training=True)
    expected = module.get_submodule("shortcut")(first) + module.get_submodule("body")(first)

    torch.testing.assert_close(module(images), expected)
    assert [name for name, _ in module.named_children()] == ["shortcut", "preact", "body"]
    assert next(row.path for row in Network("block", (4, 8, 12), Chain(block=block)).rows) == "block.preact.norm"


def test_a_trunk_is_kept_in_json_and_counts_in_what_is_seen() -> None:
    wide = Parallel(left=Conv(5, 1), right=Conv(5, 3, padding=1), before=Conv(4, 5, stride=2), merge="sum", trunk="before")
    net = Network("wide", (3, 9, 12), Chain(join=wide))

    assert Network.from_json(net.to_json()) == net
    assert net.output_shape == (5, 3, 4)
    assert net.receptive_field == 5 + 2 * 2
    assert net.params == (3 * 25 + 1) * 4 + (4 + 1) * 5 + (4 * 9 + 1) * 5
    assert net.build()(torch.zeros(2, 3, 9, 12)).shape == (2, 5, 3, 4)


def test_a_trunk_must_be_a_child_with_branches_beside_it() -> None:
    with pytest.raises(UsageError, match="trunk must name a child that has branches beside it, got 'stem' of left, right"):
        Parallel(left=Identity(), right=Identity(), merge="sum", trunk="stem")
    with pytest.raises(UsageError, match="trunk must name a child that has branches beside it, got 'only' of only"):
        Parallel(only=Identity(), merge="sum", trunk="only")
    data = Network("net", (4, 8, 12), Chain(block=preact_block())).to_data()
    data["root"]["children"][0][1]["trunk"] = 3
    with pytest.raises(RefusedFileError, match=r"root\.block: trunk must be the name of a child, got 3"):
        Network.from_data(data)
