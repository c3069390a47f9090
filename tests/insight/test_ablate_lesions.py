"""Lesions on small networks: what they change, by hand, and that the network is whole afterwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from striate.core.errors import UsageError
from striate.insight.ablate.lesions import Block, blocks_inside, blocks_of, dropped, shuffled, silenced_channels, zeroed_filters
from striate.networks.catalog import network


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))


def built(name: str) -> nn.Module:
    torch.manual_seed(1)
    return network(name, 7, 3, (16, 20)).build().eval()


def whole(module: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(module.state_dict())


def test_blocks_are_the_bodies_of_a_resnet_and_the_same_shaped_units_of_a_plain_net() -> None:
    residual, plain = blocks_of(network("resnet20_cifar")), blocks_of(network("plain20_cifar"))

    assert [block.path for block in residual[:2]] == ["stage1.block1.body", "stage1.block2.body"]
    assert len(residual) == 9
    assert not any(block.identity for block in residual)
    assert len(plain) == 9
    assert plain[3].path == "stage2.block1.unit2"  # its first unit halves the size and cannot be left out
    assert all(block.identity for block in plain)


def test_the_blocks_of_concatenations_are_the_branches_that_compute() -> None:
    dense, inception = blocks_of(network("densenet_bc_40_12")), blocks_of(network("googlenet"))

    assert [block.path for block in dense[:2]] == ["stage1.block1.body", "stage1.block2.body"]
    assert len(dense) == 18  # 3 stages of (40 - 4) / 6 blocks
    branches = [block.path for block in inception if block.path.startswith("inception")]
    assert branches[:4] == [f"inception3a.{name}" for name in ("branch1x1", "branch3x3", "branch5x5", "branch_pool")]
    assert len(branches) == 9 * 4


def test_a_dropped_branch_leaves_the_others_of_its_concatenation() -> None:
    module = built("densenet_bc_40_12")
    inner, maps = module.get_submodule("stage1.block1"), torch.randn(2, 24, 16, 20)
    with dropped(module, [blocks_of(network("densenet_bc_40_12", 7, 3, (16, 20)))[0]]):
        joined = inner(maps)

    assert joined.shape[1] == 24 + 12
    torch.testing.assert_close(joined.sum((0, 2, 3)), torch.cat([maps.sum((0, 2, 3)), torch.zeros(12)]))


def test_the_blocks_of_a_module_without_description_are_the_outermost_numbered_parts_that_keep_their_shape() -> None:
    inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Sequential(nn.Conv2d(4, 4, 1)))
    module = nn.Sequential(nn.Conv2d(3, 4, 3), inner, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 7 * 9, 5)).train()

    assert blocks_inside(module, (3, 16, 20)) == [Block("1", identity=True)]
    assert module.training


@pytest.mark.row("004-20")
def test_a_dropped_body_leaves_its_shortcut(images: torch.Tensor) -> None:
    module, block = built("resnet20_cifar"), blocks_of(network("resnet20_cifar", 7, 3, (16, 20)))[1]
    inner = module.get_submodule("stage1.block2")
    maps = torch.randn(2, 16, 16, 20)

    with dropped(module, [block]):
        torch.testing.assert_close(inner(maps), maps)
    assert not torch.equal(inner(maps), maps)


@pytest.mark.row("004-20")
def test_a_dropped_block_of_a_plain_net_hands_its_input_on() -> None:
    module, block = built("plain20_cifar"), blocks_of(network("plain20_cifar", 7, 3, (16, 20)))[0]
    maps = torch.randn(2, 16, 16, 20)

    with dropped(module, [block]):
        assert torch.equal(module.get_submodule(block.path)(maps), maps)


@pytest.mark.row("004-20")
def test_shuffling_swaps_weights_of_alike_blocks_and_brings_them_back(images: torch.Tensor) -> None:
    module, blocks = built("resnet20_cifar"), blocks_of(network("resnet20_cifar", 7, 3, (16, 20)))
    before, logits = whole(module), module(images)

    with shuffled(module, blocks, 1, seed=0):
        now = module.state_dict()
        changed = {name.rpartition(".body")[0] for name in before if not torch.equal(before[name], now[name])}
        assert len(changed) == 2
        assert not torch.allclose(module(images), logits)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    torch.testing.assert_close(module(images), logits)
    with pytest.raises(UsageError, match="nothing to shuffle"), shuffled(module, blocks[:1], 1, seed=0):
        pass


@pytest.mark.parametrize(("rank", "gone"), [("smallest", [0, 2]), ("largest", [1, 3])])
def test_channels_go_by_the_size_of_their_filters(rank: str, gone: list[int]) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([0.1, -5.0, 0.2, 3.0]).view(4, 1, 1, 1))
        module[1].bias.fill_(1.0)
    maps = torch.ones(1, 1, 2, 3)

    with silenced_channels(module, 0.5, rank):
        output = module(maps)

    assert [channel for channel in range(4) if not output[0, channel].any()] == gone
    assert module(maps).all()


def test_the_last_channel_stays() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 1))

    with silenced_channels(module, 1.0, "random", seed=3):
        assert int(module(torch.ones(1, 1, 2, 3)).flatten(2).any(2).sum()) == 1


def test_dense_networks_lose_hidden_units_and_weights() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([0.1, -5.0, 0.2, 3.0])[:, None].expand(4, 3))
        module[1].bias.fill_(1.0)
    before, samples = whole(module), torch.ones(5, 3)

    with silenced_channels(module, 0.5, "largest"):
        assert module[:2](samples).any(0).tolist() == [True, False, True, False]
    with zeroed_filters(module, 0.25, seed=0):
        assert int((module[0].weight == 0).sum()) == 3 and torch.equal(module[3].weight, before["3.weight"])
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    only = nn.Linear(3, 2)
    with zeroed_filters(only, 0.5, seed=0):
        assert int((only.weight == 0).sum()) == 3


@pytest.mark.row("004-20")
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_share_of_the_filters_is_zero_and_comes_back(memory: torch.memory_format) -> None:
    module = nn.Sequential(nn.Conv2d(3, 10, 3)).to(memory_format=memory)
    before = whole(module)

    with zeroed_filters(module, 0.3, seed=0):
        assert int((module[0].weight.flatten(2) == 0).all(2).sum()) == 9  # of 30
    assert torch.equal(module[0].weight, before["0.weight"])


@pytest.mark.row("004-20")
def test_maps_that_see_only_some_inputs_lose_whole_maps_and_single_links() -> None:
    """C3 of LeNet-5 has 60 links to 16 maps: a quarter of the maps are 4, and a half of the links 30."""
    module = network("lenet5_paper").build().eval()
    layer, images = module.get_submodule("c3.conv"), torch.rand(2, 1, 32, 32)
    seen: list[torch.Tensor] = []
    with torch.no_grad(), silenced_channels(module, 0.25, "smallest"):
        handle = layer.register_forward_hook(lambda _part, _inputs, output: seen.append(output))
        module(images)
        handle.remove()
    sums = layer.dense_weight().detach().abs().sum((1, 2, 3))
    assert (seen[-1].abs().sum((0, 2, 3)) == 0).nonzero().flatten().tolist() == sorted(sums.argsort()[:4].tolist())

    with zeroed_filters(module, 0.5, seed=0):
        assert (layer.weight.flatten(1).abs().sum(1) == 0).sum() == 30
    assert (layer.weight.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.row("004-20")
def test_blocks_of_one_weight_shape_and_other_strides_do_not_change_places() -> None:
    """The concatenations of Inception halve the picture in branches whose weights have the shapes of those that do not."""
    module = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1, stride=2), nn.Conv2d(3, 3, 3, padding=1))
    blocks = [Block(str(place), identity=True) for place in range(3)]
    with shuffled(module, blocks, 1, seed=0):
        assert module[1].stride == (2, 2)
    with pytest.raises(UsageError, match="no two blocks have the same structure"), shuffled(module, blocks[:2], 1, seed=0):
        pass
