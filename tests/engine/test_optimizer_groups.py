"""Which parameters share a decay and a learning rate."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

import striate
from striate.core.errors import UnknownNameError, UsageError
from striate.engine.optimizers import groups_of, optimizer_of
from striate.engine.optimizers.groups import units_of
from striate.engine.settings import TrainSettings


def small_net() -> nn.Sequential:
    """Two convolutions with a norm between, and a head of two layers."""
    body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))
    return nn.Sequential(body, nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6)))


def rates_of(settings: TrainSettings, model: nn.Module) -> dict[str, float]:
    return {name: group.rate for group in groups_of(settings, model) for name in group.names}


def test_a_rate_holds_for_all_below_its_path_and_the_longest_path_wins():
    rates = rates_of(TrainSettings(layer_rates={"1.0": 3.0, "1": 0.5, "0.1.bias": 64.0}), small_net())

    assert rates == {
        **dict.fromkeys(("0.0.weight", "0.0.bias", "0.1.weight", "0.2.weight", "0.2.bias"), 1.0),
        "0.1.bias": 64.0,
        **dict.fromkeys(("1.0.weight", "1.0.bias"), 3.0),
        **dict.fromkeys(("1.1.weight", "1.1.bias"), 0.5),
    }


def test_a_rate_for_a_part_that_is_not_there_gives_the_nearest():
    model = striate.network("resnet20_cifar", num_classes=10, in_channels=3, input_size=32).build()

    with pytest.raises(UnknownNameError, match=r"unknown part in layer_rates 'stage1\.blok1'\nDid you mean stage1\.block1"):
        groups_of(TrainSettings(layer_rates={"stage1.blok1": 0.1}), model)


@pytest.mark.parametrize("optimizer", ["gd", "adam", "lion", "muon"])
def test_a_group_moves_at_the_learning_rate_times_its_own(optimizer):
    """Two equal layers with equal gradients: the one at a third of the rate goes a third of the way."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 4))
    net.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in net.state_dict().items()})
    for param in net.parameters():
        param.grad = torch.randn(param.shape, generator=torch.Generator().manual_seed(param.ndim))

    optimizer_of(TrainSettings(optimizer=optimizer, layer_rates={"0": 1 / 3}), net).step(0.3)

    torch.testing.assert_close(net[0].weight * 3, net[1].weight, rtol=1e-5, atol=1e-7)
    assert net[1].weight.abs().max() > 0.01


def test_a_rate_of_zero_keeps_a_part_as_it_is():
    net = small_net()
    before = net[0][0].weight.detach().clone()
    for param in net.parameters():
        param.grad = torch.ones_like(param)

    optimizer_of(TrainSettings(layer_rates={"0": 0.0}), net).step(0.3)

    assert torch.equal(net[0][0].weight, before)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_layer_decay_equals_timms(name):
    """`timm.optim.param_groups_layer_decay` of the same network."""
    model = timm.create_model(name, num_classes=7)
    names = {id(param): name for name, param in model.named_parameters()}

    groups = groups_of(TrainSettings(layer_decay=0.7, weight_decay=0.05), model)

    ours = {name: (group.rate, group.weight_decay) for group in groups for name in group.names}
    theirs = {
        names[id(param)]: (group["lr_scale"], group["weight_decay"])
        for group in param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.7)
        for param in group["params"]
    }
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name]) for name in ours)


def test_the_layers_of_a_described_network_are_its_blocks():
    model = striate.network("resnet20_cifar", num_classes=10, in_channels=3, input_size=32).build()

    units = units_of(nn.ModuleDict({"network": model}))

    assert units["network.stem.conv.weight"] == units["network.stem.norm.bias"] == 0
    assert units["network.stage1.block1.body.unit2.norm.weight"] == 1
    assert units["network.head.linear.bias"] == 10
    assert units == {f"network.{name}": unit for name, unit in units_of(model).items()}


def test_layer_decay_and_rates_multiply():
    rates = rates_of(TrainSettings(layer_decay=0.5, layer_rates={"0.0": 3.0}), small_net())

    assert (rates["0.0.weight"], rates["0.2.weight"], rates["1.0.weight"], rates["1.1.weight"]) == (0.125 * 3, 0.25, 0.5, 1.0)
    assert rates["0.1.weight"] == 0.125, "a norm goes with the convolution before it"


def test_frozen_parameters_are_left_out_and_a_model_of_one_part_works():
    net = small_net()
    net[0].requires_grad_(False)

    assert {name for group in groups_of(TrainSettings(), net) for name in group.names} == {
        "1.0.weight",
        "1.0.bias",
        "1.1.weight",
        "1.1.bias",
    }
    assert rates_of(TrainSettings(layer_decay=0.5), nn.Linear(2, 3)) == {"weight": 1.0, "bias": 1.0}
    net.requires_grad_(False)
    assert groups_of(TrainSettings(), net) == []


def test_lbfgs_refuses_rates_of_parts():
    with pytest.raises(UsageError, match="lbfgs has one learning rate"):
        optimizer_of(TrainSettings(optimizer="lbfgs", layer_decay=0.5), small_net())
