"""Parts of a batch on threads of their own, against the whole batch on one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.seeds import torch_seed
from striate.engine.fused import fused_layers
from striate.engine.native import kernels
from striate.engine.side_by_side import SideBySide, can_be_divided
from striate.engine.step import LossNotFiniteError, StepRule, train_step
from striate.networks.modules.dropout import DropoutModule

pytestmark = pytest.mark.skipif(kernels() is None, reason="there is no compiler here")


class Chain(nn.Sequential):
    """A sequence that runs as a whole."""


class Residual(nn.Module):
    """A map beside two convolutions of it."""

    def __init__(self) -> None:
        super().__init__()
        self.merge_by = "sum"
        self.body = Chain(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Batch:
    """Thirteen pictures of noise, which three threads cannot share alike."""

    def __init__(self, seed: int = 0, count: int = 13) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.randn(count, 3, 9, 8, generator=generator).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 4, (count,), generator=generator)


class Descent:
    """The gradient alone, and steps against it."""

    needs_closure = False

    def __init__(self, model: nn.Module) -> None:
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]

    def zero_grad(self) -> None:
        for weight in self.weights:
            weight.grad = None

    def step(self, rate: float) -> None:
        with torch.no_grad():
            for weight in self.weights:
                if weight.grad is not None:
                    weight.sub_(rate * weight.grad)


def network(p: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), Residual(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return Chain(*layers, DropoutModule(p), nn.Linear(6 * 4 * 4, 4)).to(memory_format=torch.channels_last).train()


@contextlib.contextmanager
def divided(model: nn.Module, count: int = 3) -> Iterator[StepRule]:
    """The rule of steps in which each of `count` threads computes a part."""
    beside = SideBySide(model, count)
    with fused_layers(model) as layers, beside.prepared(layers):
        yield StepRule(loss_fn=F.cross_entropy, stop_at_not_finite=True, side_by_side=beside)


def trained(model: nn.Module, count: int, steps: int = 3) -> tuple[list[float], dict[str, Tensor]]:
    """The losses of some steps, each of another batch, and the state after them."""
    plain = contextlib.nullcontext(StepRule(loss_fn=F.cross_entropy))
    losses = []
    with divided(model, count) if count > 1 else plain as rule:
        for step in range(steps):
            randomness = lambda step=step: torch_seed(step)  # noqa: E731
            result = train_step(model, Batch(step), Descent(model), rule, 0.5, randomness=randomness)  # type: ignore[arg-type]
            losses.append(result.loss.item())
    return losses, {name: value.clone() for name, value in model.state_dict().items()}


def test_divided_steps_are_those_of_the_whole_batch():
    whole, expected = trained(network(), 1)

    for count in (2, 3):
        losses, state = trained(network(), count)

        assert losses == pytest.approx(whole, rel=1e-5)
        for name, value in state.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
        assert state["1.num_batches_tracked"] == 3


def test_the_same_threads_give_the_same_bits_and_each_drops_others():
    losses, state = trained(network(0.5), 3)
    again, state_again = trained(network(0.5), 3)

    assert losses == again and all(torch.equal(value, state_again[name]) for name, value in state.items())
    model = network(0.5)
    kept = []
    for seed in (1, 2):
        with divided(model, 2) as rule, torch_seed(seed):
            kept += rule.side_by_side.each([torch.ones(2, 96)] * 2, lambda model, part: model[7](part))
    assert len({tuple(each.view(-1).tolist()) for each in kept}) == 4


def test_replicas_follow_the_weights_the_modes_and_what_is_frozen():
    model = network()
    model[0].requires_grad_(False)
    with divided(model) as rule:
        model[0].requires_grad_(True)
        model[1].eval()
        with torch.no_grad():
            model[8].bias.copy_(torch.tensor([50.0, 0, 0, 0]))
        result = train_step(model, Batch(), Descent(model), rule, 0.0)  # type: ignore[arg-type]

    assert model[0].weight.grad.abs().max() > 0 and model[1].num_batches_tracked == 0
    assert result.correct == (Batch().labels == 0).sum()


def test_the_weights_and_the_buffers_are_there_once():
    model = network()
    (replica,) = SideBySide(model, 2).replicas

    for mine, other in zip(model.state_dict().values(), replica.state_dict().values(), strict=True):
        assert mine.data_ptr() == other.data_ptr()


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_failure_in_one_part_ends_the_step_and_not_the_training(rank: int):
    """The others wait for it in the first batch norm."""
    model, batch = network(), Batch()
    with divided(model) as rule:

        def compute(model: nn.Module, part: tuple[int, Tensor]) -> Tensor:
            if part[0] == rank:
                raise MemoryError("no more")
            return model(part[1])

        parts = list(enumerate(batch.images.tensor_split(3)))
        with pytest.raises(MemoryError, match="no more"):
            rule.side_by_side.each(parts, compute)
        assert all(weight.grad is None for replica in rule.side_by_side.replicas for weight in replica.parameters())
        result = train_step(model, batch, Descent(model), rule, 0.1)  # type: ignore[arg-type]

    assert result.loss.isfinite() and torch.get_num_threads() >= 1


def test_a_loss_that_is_not_finite_updates_nothing():
    model, batch = network(), Batch()
    batch.images[12] = float("inf")
    before = [weight.clone() for weight in model.parameters()]

    with divided(model) as rule, pytest.raises(LossNotFiniteError):
        train_step(model, batch, Descent(model), rule, 0.1)  # type: ignore[arg-type]

    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_fewer_samples_than_threads_are_one_part():
    model = network()
    with divided(model) as rule:
        result = train_step(model, Batch(count=2), Descent(model), rule, 0.1)  # type: ignore[arg-type]

    assert result.num_images == 2 and model[1].num_batches_tracked == 1


@pytest.mark.parametrize(
    ("norm", "expected"),
    [(nn.BatchNorm2d(3), True), (nn.GroupNorm(1, 3), True), (nn.BatchNorm1d(3), False), (nn.BatchNorm2d(3, momentum=None), False)],
)
def test_batch_norms_that_cannot_be_divided_are_known(norm: nn.Module, *, expected: bool):
    assert can_be_divided(nn.Sequential(norm)) is expected
