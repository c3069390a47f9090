"""What is said when numbers stop being finite or memory runs out, and what is saved of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import EnvironmentFault, is_out_of_memory
from striate.engine.failures import TrainingDivergedError
from striate.engine.fit import fit
from striate.engine.settings import TrainSettings

PLAIN = {"precision": "float32", "learning_rate": 0.05, "warmup_epochs": 0.0, "device": "cpu", "epochs": 2}


class Spoiler(nn.Module):
    """Gives its input on, and from its call `at` on, NaN in place of one number."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, x):
        self.calls += 1
        return x * math.nan if self.calls >= self.at else x


@pytest.mark.row("004-21")
def test_the_first_part_that_gives_nan_is_named_with_its_step_and_its_batch(make_batches, make_model):
    model, batches = make_model(), make_batches(4)
    model.insert(2, Spoiler(at=3))
    before = []
    training = fit(model, batches, TrainSettings(**PLAIN))

    def consume() -> None:
        for _ in training:
            before[:] = [tensor.clone() for tensor in model.parameters()]

    with pytest.raises(TrainingDivergedError, match=r"the loss is not finite at step 3 .*, first in 2") as error:
        consume()

    assert error.value.step == 3
    assert error.value.batch is batches.batches[2]
    assert all(torch.equal(now, kept) for now, kept in zip(model.parameters(), before, strict=True))  # the bad step changed nothing


class Formula(nn.Module):
    """A formula as a layer."""

    def __init__(self, formula: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x)


@pytest.mark.row("004-21")
@pytest.mark.parametrize(
    "formula",
    [
        lambda x: x.relu().log(),  # log 0
        lambda x: x.relu() / x.relu(),  # 0 / 0
        lambda x: (x * 65_504).half().float(),  # half precision ends there
        lambda x: (300 * x.abs() + 100).exp(),
    ],
    ids=["log of 0", "0 by 0", "overflow of half precision", "overflow of exp"],
)
def test_each_usual_way_to_nan_is_found_in_its_layer_at_step_1_with_a_remedy(make_batches, make_model, formula):
    model = make_model()
    model.insert(3, Formula(formula))

    with pytest.raises(TrainingDivergedError, match=r"the loss is not finite at step 1 .*, first in 3") as error:
        list(fit(model, make_batches(2), TrainSettings(**PLAIN)))

    assert (error.value.part, error.value.step, error.value.exit_code) == ("3", 1, 5)
    assert error.value.remedy == "Train with a smaller `learning_rate`, with `max_grad_norm=1`, or with `precision='float32'`."


@pytest.mark.row("004-21")
def test_a_learning_rate_of_a_million_is_found_within_a_few_steps_and_named(make_batches, make_model):
    with pytest.raises(TrainingDivergedError, match=r"1\.running_var is not finite at step 4 \(learning rate 1e\+06\)") as error:
        list(fit(make_model(), make_batches(4), TrainSettings(**{**PLAIN, "learning_rate": 1e6, "schedule": "constant"})))

    assert error.value.remedy.startswith("Train with a smaller `learning_rate`")


def test_a_gradient_that_is_not_finite_is_laid_to_the_step_that_made_it(make_batches, make_model):
    model, batches = make_model(), make_batches(4)
    calls = []

    def spoil(gradient):
        calls.append(1)
        return gradient * math.nan if len(calls) == 2 else gradient

    model[6].weight.register_hook(spoil)

    with pytest.raises(TrainingDivergedError, match=r"the weight 6\.weight is not finite at step 2") as error:
        list(fit(model, batches, TrainSettings(**PLAIN)))

    assert (error.value.part, error.value.step) == ("6", 2)
    assert error.value.batch is batches.batches[1]


def test_running_statistics_count_too(make_batches, make_model):
    model, batches = make_model(), make_batches(2)
    for event in (training := fit(model, batches, TrainSettings(**PLAIN))):
        if event.step == 2 and event.row is None:
            model[1].running_var[1] = math.inf
            break

    with pytest.raises(TrainingDivergedError, match=r"the weight 1\.running_var is not finite at step 2") as error:
        list(training)

    assert (error.value.part, error.value.batch) == ("1", batches.batches[1])  # of the last update


def test_weights_that_the_last_update_of_an_epoch_ruins_are_laid_to_its_batch(make_batches, make_model):
    model, batches = make_model(), make_batches(4)
    calls = []

    def spoil(gradient):
        calls.append(1)
        return gradient * math.nan if len(calls) == 4 else gradient

    model[6].weight.register_hook(spoil)

    with pytest.raises(TrainingDivergedError, match=r"the weight 6\.weight is not finite at step 4") as error:
        list(fit(model, batches, TrainSettings(**PLAIN)))

    assert error.value.batch is batches.batches[3]


class Greedy(nn.Module):
    """Runs out of memory for more than `most` pictures, as torch says it."""

    def __init__(self, inner: nn.Module, most: int, error: type[Exception]) -> None:
        super().__init__()
        self.inner, self.most, self.error = inner, most, error

    def forward(self, images):
        if len(images) > self.most:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        return self.inner(images)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_too_little_memory_halves_the_parts_and_the_update_stays_the_same(make_batches, error):
    def trained(most: int):
        torch.manual_seed(0)
        inner = nn.Sequential(nn.Flatten(), nn.Linear(96, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        batches = make_batches(3)
        batches.batches = [batch._replace(images=batch.images.double()) for batch in batches.batches]
        events = list(fit(Greedy(inner, most, error), batches, TrainSettings(**PLAIN)))
        return inner, [note for event in events for note in event.notes]

    whole, none = trained(12)
    parts, notes = trained(4)

    assert none == []
    assert notes == [
        "out of memory at step 1: batches of 12 are now computed in 2 parts of 6, with the same update",
        "out of memory at step 1: batches of 12 are now computed in 4 parts of 3, with the same update",
    ]
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_memory_that_does_not_suffice_for_two_pictures_ends_in_words(make_batches):
    model = Greedy(nn.Sequential(nn.Flatten(), nn.Linear(96, 3)), 0, torch.OutOfMemoryError)

    with pytest.raises(EnvironmentFault, match="out of memory at step 1, even in parts of 3 pictures"):
        list(fit(model, make_batches(2), TrainSettings(**PLAIN)))


def test_other_errors_are_not_taken_for_a_lack_of_memory(make_batches):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        list(fit(nn.Sequential(nn.Flatten(), nn.Linear(95, 3)), make_batches(2), TrainSettings(**PLAIN)))


class GreedyInValidation(Greedy):
    """Trains on any number of pictures."""

    def forward(self, images):
        return self.inner(images) if self.training else super().forward(images)


def test_too_little_memory_in_the_validation_divides_its_batches_from_then_on(make_batches):
    def trained(most: int):
        torch.manual_seed(0)
        model = GreedyInValidation(nn.Sequential(nn.Flatten(), nn.Linear(96, 3)), most, RuntimeError)
        training = fit(model, make_batches(3), TrainSettings(**PLAIN), val_batches=make_batches(2, seed=1))
        events = list(training)
        return [event.row for event in events if event.row], [note for event in events for note in event.notes], training

    whole, none, _ = trained(12)
    parts, notes, training = trained(3)

    assert none == []
    assert notes == [f"out of memory in the validation: its batches are now computed in {number} parts" for number in (2, 4)]
    for ours, theirs in zip(parts, whole, strict=True):
        assert (ours.train_loss, ours.val_accuracy) == (theirs.train_loss, theirs.val_accuracy)
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-6)
    assert training.state()["val_parts"] == 4
    continued = fit(
        GreedyInValidation(nn.Sequential(nn.Flatten(), nn.Linear(96, 3)), 3, RuntimeError), make_batches(3), TrainSettings(**PLAIN)
    )
    continued.load_state(training.state(), training.tensors())
    assert continued.val_parts == 4


def test_a_validation_for_which_memory_does_not_suffice_even_for_one_picture_ends_in_words(make_batches):
    model = GreedyInValidation(nn.Sequential(nn.Flatten(), nn.Linear(96, 3)), 0, MemoryError)

    with pytest.raises(EnvironmentFault, match="out of memory in the validation after step 2, even with one picture at a time"):
        list(fit(model, make_batches(2), TrainSettings(**PLAIN), val_batches=make_batches(2, seed=1)))
