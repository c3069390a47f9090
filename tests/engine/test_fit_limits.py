"""What a training must not do: keep ruined weights, or end in an error that names nothing."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import HashStore

from striate.core.errors import DataError, EnvironmentFault, NumericError, UsageError
from striate.engine.fit import Training, fit
from striate.engine.processes import ProcessGroup
from striate.engine.rules import rule_of
from striate.engine.settings import TrainSettings


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor


class Batches:
    """So many batches of five random images of a shape, with three classes; `given` of them come."""

    def __init__(self, count: int, shape: tuple[int, ...] = (4, 6), given: int | None = None) -> None:
        self.count, self.shape, self.given = count, shape, count if given is None else given

    def __len__(self) -> int:
        return self.count

    def epoch(self, epoch: int, start: int = 0):
        chance = torch.Generator().manual_seed(epoch)
        for _ in range(self.given):
            yield Batch(torch.randn(5, *self.shape, generator=chance), torch.randint(0, 3, (5,), generator=chance))


def settings(**changes) -> TrainSettings:
    return TrainSettings(device="cpu", precision="float32", learning_rate=0.01, warmup_epochs=0, epochs=1, **changes)


def ruined_by_its_last_update() -> nn.Sequential:
    """A tanh hides the infinite bias that the update leaves: every loss, before and after, is finite."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 7), nn.Tanh(), nn.Linear(7, 3))
    model[1].bias.register_hook(lambda gradient: torch.full_like(gradient, math.inf))
    return model


@pytest.mark.parametrize("val_batches", [None, Batches(2)])
def test_weights_that_are_not_finite_are_never_the_best(val_batches):
    events = []

    with pytest.raises(NumericError, match=r"the weight 1\.bias is not finite at step 1 "):
        events.extend(fit(ruined_by_its_last_update(), Batches(1), settings(), val_batches=val_batches))

    assert not any(event.is_best for event in events)


def test_three_dimensional_convolutions_train_too():
    model = nn.Sequential(nn.Conv3d(2, 5, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(5 * 1 * 2 * 3, 3))
    before = model[0].weight.detach().clone()

    *_, last = fit(model, Batches(2, (2, 4, 6, 8)), settings())

    assert last.row is not None and last.row.step == 2
    assert not torch.equal(model[0].weight, before)


def linear() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(24, 3))


@pytest.mark.parametrize(
    ("train_batches", "val_batches", "words"),
    [
        (Batches(0), None, "no training pictures"),
        (Batches(2), Batches(0), "no validation pictures"),
        (Batches(2, given=0), None, "epoch 1 has 0 batches, but 2 were announced"),
        (Batches(3, given=2), None, "epoch 1 has 2 batches, but 3 were announced"),
    ],
)
def test_batches_that_do_not_come_are_an_error_of_the_data(train_batches, val_batches, words):
    with pytest.raises(DataError, match=words):
        list(fit(linear(), train_batches, settings(), val_batches=val_batches))


def test_norms_over_the_whole_batch_and_parts_of_it_exclude_each_other():
    group = ProcessGroup(0, 2, HashStore())

    with pytest.raises(UsageError, match=r"sync_norm: a batch norm needs the whole batch .* accumulate .* one after the other") as error:
        rule_of(settings(sync_norm=True, accumulate=2), linear(), torch.device("cpu"), group=group)

    assert error.value.remedy == "Leave out one of them; more processes need less memory each, too."


def test_too_little_memory_does_not_turn_norms_over_the_whole_batch_into_others(monkeypatch):
    """Computed in parts, each would have its own mean, and nobody would have asked for that."""
    (batch,) = Batches(1).epoch(1)
    training = Training(linear(), Batches(1), settings(sync_norm=True), None, None)
    training.step = 2
    training.rule = rule_of(settings(sync_norm=True), linear(), torch.device("cpu"), group=ProcessGroup(0, 2, HashStore()))

    def no_memory(*given: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr("striate.engine.fit.train_step", no_memory)
    with pytest.raises(EnvironmentFault, match=r"out of memory at step 3: batch norms over the whole batch \(sync_norm\)") as error:
        training.update(batch)

    assert error.value.remedy == "Train with a smaller `batch_size`, or with more processes."


def test_a_model_with_every_parameter_frozen_is_refused():
    with pytest.raises(UsageError, match="no trainable parameters"):
        list(fit(linear().requires_grad_(False), Batches(2), settings()))
