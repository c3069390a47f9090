"""L1, L2, clipping by value and max-norm."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.engine.optimizers import optimizer_of
from striate.engine.penalties import penalties_of
from striate.engine.settings import TrainSettings


def small_net() -> nn.Sequential:
    """No weight of it is 0, where L1 has no gradient."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(24, 4)).double()
    nn.init.constant_(net[1].bias, 0.1)
    return net


def images() -> Tensor:
    return torch.randn(5, 2, 4, 6, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize(
    ("fields", "term"),
    [
        ({"l1": 0.3}, lambda w: 0.3 * w.abs().sum()),
        ({"l2": 0.3}, lambda w: 0.3 * w.square().sum()),
        ({"l2_half": 0.3}, lambda w: 0.15 * w.square().sum()),
        ({"l1": 0.1, "l2": 0.2, "l2_half": 0.4}, lambda w: 0.1 * w.abs().sum() + 0.4 * w.square().sum()),
    ],
)
@pytest.mark.row("002-20")
def test_the_gradient_is_that_of_the_loss_with_the_penalty_in_it(fields, term, decay_all):
    """Autograd of loss + penalty, which is on weights alone unless asked for all."""
    ours, theirs = small_net(), small_net()
    penalties = penalties_of(TrainSettings(**fields, decay_all=decay_all), ours)
    ours(images()).square().mean().backward()
    penalties.before_update()

    penalty = sum(term(param) for param in theirs.parameters() if decay_all or param.ndim > 1)
    (theirs(images()).square().mean() + penalty).backward()

    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(penalties.loss(), penalty.detach(), rtol=1e-12, atol=0)


def trained(settings: TrainSettings) -> list[Tensor]:
    net = small_net()
    optimizer, penalties = optimizer_of(settings, net), penalties_of(settings, net)
    for _ in range(20):
        optimizer.zero_grad()
        net(images()).square().mean().backward()
        if penalties:
            penalties.before_update()
        optimizer.step(0.01)
    return [param.detach() for param in net.parameters()]


def farthest(some: list[Tensor], others: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(some, others, strict=True))


@pytest.mark.row("001-8")
@pytest.mark.row("002-20")
def test_l2_is_twice_as_much_decay_for_descent_and_the_same_with_a_half_before_it():
    decay = trained(TrainSettings(weight_decay=0.2))

    assert farthest(decay, trained(TrainSettings(weight_decay=0.0, l2=0.1))) < 1e-12
    assert farthest(decay, trained(TrainSettings(weight_decay=0.0, l2_half=0.2))) < 1e-12
    assert farthest(decay, trained(TrainSettings(weight_decay=0.0, l2=0.2))) > 1e-3


@pytest.mark.row("001-8")
def test_l2_is_not_the_decay_of_adamw():
    l2 = trained(TrainSettings(optimizer="adamw", weight_decay=0.0, l2=0.1))

    assert farthest(trained(TrainSettings(optimizer="adamw", weight_decay=0.2)), l2) > 1e-3
    assert farthest(trained(TrainSettings(optimizer="adam", weight_decay=0.2)), l2) < 1e-12


def weights_at_rest(wanted: Tensor, optimizer: str, **penalty: float) -> Tensor:
    """The weights that minimize |w - wanted|^2 / 2 and a penalty: least squares on an orthonormal design."""
    layer = nn.Linear(wanted.shape[1], 1, bias=False).double()
    settings = TrainSettings(optimizer=optimizer, weight_decay=0.0, **penalty)
    updates, penalties = optimizer_of(settings, layer), penalties_of(settings, layer)
    for step in range(1000):
        layer.weight.grad = (layer.weight - wanted).detach()
        penalties.before_update()
        updates.step(0.2 / (1 + step / 50))
        penalties.after_update()
    return layer.weight.detach()


@pytest.mark.row("002-20")
@pytest.mark.parametrize("optimizer", ["gd", "sgd", "adam"])
def test_on_an_orthonormal_design_l1_thresholds_and_its_zeros_are_exact_while_l2_only_shrinks(optimizer):
    """L1 gives sign(b) max(0, |b| - l1), L2 b / (1 + 2 l2), for b of the least squares; momentum and Adam have the same minimum."""
    wanted = torch.tensor([[0.9, -0.05, 0.3, -0.7, 0.08]]).double()

    sparse, shrunk = weights_at_rest(wanted, optimizer, l1=0.1), weights_at_rest(wanted, optimizer, l2=0.1)

    torch.testing.assert_close(sparse, wanted.sign() * (wanted.abs() - 0.1).clamp(min=0), rtol=0, atol=1e-4)
    assert (sparse == 0).tolist() == [[False, True, False, False, True]]
    torch.testing.assert_close(shrunk, wanted / 1.2, rtol=0, atol=1e-4)


def test_l1_leaves_a_weight_that_is_not_a_number_for_the_training_to_find():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[torch.nan, 1.0]])
    layer.weight.grad = torch.ones(1, 2)
    penalties = penalties_of(TrainSettings(l1=0.1), layer)

    penalties.before_update()
    penalties.after_update()

    assert layer.weight.isnan().tolist() == [[True, False]]


@pytest.mark.row("003-42")
def test_clipping_by_value_equals_torchs_and_comes_before_the_penalties():
    ours, theirs = small_net(), small_net()
    settings = TrainSettings(max_grad_value=0.01, l2=0.5)
    for net in (ours, theirs):
        net(images()).square().sum().backward()

    penalties_of(settings, ours).before_update()

    nn.utils.clip_grad_value_(theirs.parameters(), 0.01)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        penalty = other.detach() if other.ndim > 1 else 0
        torch.testing.assert_close(mine.grad, other.grad + penalty, rtol=0, atol=1e-12)
    assert float(theirs[0].weight.grad.abs().max()) == 0.01


@pytest.mark.parametrize(
    ("layer", "units"),
    [
        (nn.Linear(7, 5), lambda w: [w[k] for k in range(5)]),
        (nn.Conv2d(3, 5, (2, 4)), lambda w: [w[k] for k in range(5)]),
        (nn.Conv2d(4, 6, 3, groups=2), lambda w: [w[k] for k in range(6)]),
        (nn.ConvTranspose2d(3, 5, (2, 4)), lambda w: [w[:, k] for k in range(5)]),
        (nn.ConvTranspose2d(4, 6, (2, 3), groups=2), lambda w: [w[2 * g : 2 * g + 2, k] for g in range(2) for k in range(3)]),
    ],
)
def test_max_norm_shortens_what_comes_into_a_unit_and_nothing_else(layer, units):
    """Each unit's weights to the ball of radius 1.5; those inside it stay bit for bit."""
    layer = layer.to(memory_format=torch.channels_last) if layer.weight.ndim == 4 else layer
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        units(layer.weight)[1].mul_(0.01)
        layer.bias.fill_(100.0)
    before = [unit.detach().clone() for unit in units(layer.weight)]
    layer.weight.grad = torch.zeros_like(layer.weight)

    penalties_of(TrainSettings(max_norm=1.5), layer).after_update()

    for index, (unit, old) in enumerate(zip(units(layer.weight.detach()), before, strict=True)):
        if float(old.norm()) <= 1.5:
            assert torch.equal(unit, old)
        else:
            torch.testing.assert_close(unit, old * (1.5 / old.norm()), msg=f"unit {index}")
    assert torch.equal(before[1], units(layer.weight.detach())[1])
    assert any(float(old.norm()) > 1.5 for old in before)
    assert torch.equal(layer.bias.detach(), torch.full_like(layer.bias, 100.0))


def test_a_unit_of_zeros_and_a_part_without_gradient_stay():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.zero_()
        net[1].weight.fill_(9.0)
    net[0].weight.grad = torch.zeros_like(net[0].weight)
    penalties = penalties_of(TrainSettings(max_norm=1.0, l2=0.1), net)

    penalties.before_update()
    penalties.after_update()

    assert torch.equal(net[0].weight.detach(), torch.zeros(2, 3))
    assert torch.equal(net[1].weight.detach(), torch.full((2, 2), 9.0)) and net[1].weight.grad is None


def test_no_penalty_is_none_and_lbfgs_says_what_to_do():
    assert penalties_of(TrainSettings(), small_net()) is None
    with pytest.raises(UsageError, match=r"l1, max_grad_value cannot go with the optimizer lbfgs\nUse weight_decay"):
        penalties_of(TrainSettings(optimizer="lbfgs", l1=0.1, max_grad_value=1.0), small_net())
