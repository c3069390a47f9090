"""The state of each optimizer continues a training exactly, and fits no other one."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from striate.core.errors import RefusedFileError
from striate.engine.optimizers import LBFGS, Optimizer, optimizer_of
from striate.engine.settings import TrainSettings

KINDS = {
    name: TrainSettings(optimizer=name, learning_rate=0.01)
    for name in ("gd", "sgd", "adagrad", "rmsprop", "adam", "nadam", "adamw", "radam", "lion", "muon", "lbfgs")
}
KINDS["adam with lookahead"] = TrainSettings(optimizer="adam", lookahead=3)
KINDS["lbfgs with lookahead"] = TrainSettings(optimizer="lbfgs", lookahead=2)
KINDS["sgd without momentum"] = TrainSettings(momentum=0.0, nesterov=False)


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Tanh(), nn.Flatten(), nn.Linear(5 * 2 * 4, 3), nn.Linear(3, 3))
    return net.to(memory_format=torch.channels_last)


def train(net: nn.Sequential, optimizer: Optimizer, steps: range) -> None:
    """One part pauses in every other step."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        images, wanted = torch.randn(7, 2, 4, 6, generator=generator), torch.randn(7, 3, generator=generator)

        def gradient(images: Tensor = images, wanted: Tensor = wanted, step: int = step) -> Tensor:
            optimizer.zero_grad()
            net[5].requires_grad_(step % 2 == 0)
            loss = (net(images) - wanted).square().mean()
            loss.backward()
            return loss.detach()

        if optimizer.needs_closure:
            optimizer.step(0.01, gradient)
        else:
            gradient()
            optimizer.step(0.01)
    net.requires_grad_(True)


@pytest.mark.parametrize(("kind", "pause"), [(kind, pause) for kind in KINDS for pause in ((1,) if "lbfgs" in kind else (1, 4, 5))])
def test_a_training_that_continues_from_a_file_equals_one_that_was_not_stopped(kind, pause):
    """Bit for bit, through the bytes of a safetensors file."""
    straight, stopped = small_net(), small_net()
    settings, num_steps = KINDS[kind], 3 if "lbfgs" in kind else 9
    train(straight, optimizer_of(settings, straight), range(num_steps))

    first = optimizer_of(settings, stopped)
    train(stopped, first, range(pause))
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in first.state().items()})
    resumed = copy.deepcopy(stopped)
    second = optimizer_of(settings, resumed)
    second.load_state(safetensors.torch.load(data))
    train(resumed, second, range(pause, num_steps))

    for (name, mine), other in zip(straight.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(mine, other[1]), name
    assert not torch.equal(resumed[0].weight, small_net()[0].weight)


def test_the_state_has_the_models_names_and_is_no_copy():
    net = small_net()
    optimizer = optimizer_of(KINDS["adam"], net)
    assert optimizer.state() == {}

    net[4].weight.grad = torch.ones_like(net[4].weight)
    optimizer.step(0.01)
    state = optimizer.state()

    assert set(state) == {"4.weight.mean", "4.weight.square", "4.weight.steps"}
    assert state["4.weight.steps"].dtype == torch.int64 and state["4.weight.steps"].shape == () and int(state["4.weight.steps"]) == 1
    assert optimizer.state()["4.weight.mean"] is state["4.weight.mean"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_without_gradient_stands_still_with_its_counters(kind):
    net = small_net()
    optimizer = optimizer_of(KINDS[kind], net)
    train(net, optimizer, range(1))
    before = {name: tensor.clone() for name, tensor in optimizer.state().items() if name.startswith("5.")}
    weight = net[5].weight.detach().clone()

    train(net, optimizer, range(1, 2))

    after = {name: tensor for name, tensor in optimizer.state().items() if name.startswith("5.")}
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    if "lbfgs" not in kind:  # whose direction is that of all parameters
        assert torch.equal(net[5].weight, weight)


def state_of(kind: str) -> dict[str, Tensor]:
    net = small_net()
    optimizer = optimizer_of(KINDS[kind], net)
    train(net, optimizer, range(3))
    return optimizer.state()


def refusal(settings: TrainSettings, state: dict[str, Tensor]) -> str:
    optimizer = optimizer_of(settings, small_net())
    with pytest.raises(RefusedFileError) as caught:
        optimizer.load_state(state)
    return str(caught.value)


def test_the_state_of_another_optimizer_or_network_is_refused_by_name():
    adam = state_of("adam")
    remedy = "\nContinue with the network and the settings that it was saved with."

    other = refusal(KINDS["sgd"], adam)
    assert other == "state of the optimizer: 0.weight.mean belongs to no parameter of this model, or to another optimizer" + remedy

    strange = refusal(KINDS["adam"], {"7.weight.mean": torch.zeros(3)})
    assert "7.weight.mean belongs to no parameter of this model" in strange

    cut = {name: tensor for name, tensor in adam.items() if name != "1.bias.square"}
    assert refusal(KINDS["adam"], cut) == "state of the optimizer: 1.bias.square is missing" + remedy

    wide = adam | {"1.bias.mean": torch.zeros(6)}
    expected = "state of the optimizer: 1.bias.mean must be torch.float32 of shape (5,), got torch.float32 of shape (6,)"
    assert refusal(KINDS["adam"], wide) == expected + remedy

    half = adam | {"1.bias.mean": torch.zeros(5, dtype=torch.float16)}
    assert "must be torch.float32 of shape (5,), got torch.float16 of shape (5,)" in refusal(KINDS["adam"], half)

    assert "0.weight.momentum belongs to" in refusal(KINDS["adam"], {"0.weight.momentum": torch.zeros(5, 2, 3, 3)})
    assert "0.weight.slow belongs to" in refusal(KINDS["adam"], state_of("adam with lookahead"))


def test_a_state_of_lbfgs_that_does_not_fit_is_refused_by_name():
    state = state_of("lbfgs")
    settings = KINDS["lbfgs"]

    assert "lbfgs.ro.0 is missing" in refusal(settings, {name: tensor for name, tensor in state.items() if name != "lbfgs.ro.0"})
    assert "lbfgs.d is missing" in refusal(settings, {name: t for name, t in state.items() if name != "lbfgs.d"})
    assert "0.weight.mean belongs to another optimizer" in refusal(settings, state | {"0.weight.mean": torch.zeros(1)})
    assert "lbfgs.d must have shape (" in refusal(settings, state | {"lbfgs.d": torch.zeros(4)})


def test_an_empty_state_forgets_everything():
    for kind in ("adam", "lbfgs", "adam with lookahead"):
        net = small_net()
        optimizer = optimizer_of(KINDS[kind], net)
        train(net, optimizer, range(3))
        assert optimizer.state()

        optimizer.load_state({})

        assert optimizer.state() == {}


def test_a_refused_state_changes_nothing():
    net = small_net()
    optimizer = optimizer_of(KINDS["adam"], net)
    train(net, optimizer, range(3))
    before = {name: tensor.clone() for name, tensor in optimizer.state().items()}

    with pytest.raises(RefusedFileError):
        optimizer.load_state({"0.weight.mean": torch.zeros(5, 2, 3, 3)})

    assert all(torch.equal(tensor, before[name]) for name, tensor in optimizer.state().items())


def test_the_loaded_tensors_are_the_optimizers_own():
    state = {name: tensor.clone() for name, tensor in state_of("lbfgs").items()}
    before = {name: tensor.clone() for name, tensor in state.items()}
    net = small_net()
    optimizer = optimizer_of(replace(KINDS["lbfgs"]), net)
    optimizer.load_state(state)

    train(net, optimizer, range(3, 5))

    assert isinstance(optimizer, LBFGS)
    assert all(torch.equal(state[name], before[name]) for name in state)
