"""The range test: on a bowl it is arithmetic; it stops, chooses and leaves the model alone as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from striate.core.errors import DataError, NumericError
from striate.engine.lr_range import learning_rate_range
from striate.engine.settings import TrainSettings

PLAIN = {"optimizer": "gd", "weight_decay": 0.0, "precision": "float32", "device": "cpu", "channels_last": False}


class Weight(nn.Module):
    """One weight w in float64, for inputs of 1: the outputs (N, 1) are w."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[value]], dtype=torch.float64))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.double() @ self.w  # (N, 1)


@pytest.fixture
def bowl(make_batches):
    """Batches on which the mean squared error of `Weight` is w^2, its gradient 2 w."""
    batches = make_batches(1)
    batches.batches = [type(batches.batches[0])(torch.ones(4, 1), torch.zeros(4, 1, dtype=torch.float64))]
    return batches


def by_hand(value: float, lowest: float, highest: float, num_steps: int) -> tuple[list[float], list[float], list[float]]:
    """Plain descent on w^2 while the rate grows: w becomes w (1 - 2 rate)."""
    rates, losses, smoothed, mean = [], [], [], 0.0
    for step in range(num_steps):
        rates.append(10 ** (math.log10(lowest) + step / (num_steps - 1) * (math.log10(highest) - math.log10(lowest))))
        losses.append(value**2)
        mean = 0.9 * mean + 0.1 * value**2
        smoothed.append(mean / (1 - 0.9 ** (step + 1)))
        if smoothed[-1] > 4 * min(smoothed):
            break
        value *= 1 - 2 * rates[-1]
    return rates, losses, smoothed


def test_on_a_bowl_it_is_arithmetic(bowl):
    """Rates of 1 and more overshoot: the loss of w^2 explodes from there on, and the choice lies below."""
    settings = TrainSettings(loss="mse", **PLAIN)

    found = learning_rate_range(Weight(3.0), bowl, settings, lowest=1e-4, highest=100.0, num_steps=61)

    rates, losses, smoothed = by_hand(3.0, 1e-4, 100.0, 61)
    assert len(rates) < 61
    assert found.rates == pytest.approx(rates, rel=1e-9)
    assert found.losses == pytest.approx(losses, rel=1e-6, abs=1e-12)
    assert found.smoothed == pytest.approx(smoothed, rel=1e-6)
    slopes = [(smoothed[i + 1] - smoothed[i - 1]) / math.log10(rates[i + 1] / rates[i - 1]) for i in range(10, len(rates) - 1)]
    assert found.steepest == pytest.approx(rates[10 + int(np.argmin(slopes))])
    assert found.tenth_of_lowest == pytest.approx(rates[int(np.argmin(smoothed))] / 10)
    assert 0.01 < found.steepest < 1


def test_without_an_explosion_it_takes_all_its_updates(bowl):
    found = learning_rate_range(Weight(3.0), bowl, TrainSettings(loss="mse", **PLAIN), lowest=1e-5, highest=0.1, num_steps=40)

    assert len(found.rates) == 40
    assert found.rates[0] == pytest.approx(1e-5) and found.rates[-1] == pytest.approx(0.1)
    assert bowl.begun == 40  # one batch an epoch


def test_the_model_stays_as_it_was(make_model, make_batches):
    model = make_model(dropout=0.2).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    found = learning_rate_range(model, make_batches(5), TrainSettings(precision="float32", device="cpu"))

    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model.training and all(weight.grad is None for weight in model.parameters())
    assert 1e-7 < found.steepest < 10
    assert found == learning_rate_range(make_model(dropout=0.2), make_batches(5), TrainSettings(precision="float32", device="cpu"))


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "plateau"])
def test_neither_the_schedule_nor_the_rate_of_the_settings_matters(make_model, make_batches, schedule):
    plain = learning_rate_range(make_model(), make_batches(5), TrainSettings(precision="float32", device="cpu"), num_steps=60)

    settings = TrainSettings(precision="float32", device="cpu", schedule=schedule, learning_rate=3e-9, warmup_epochs=4)
    assert learning_rate_range(make_model(), make_batches(5), settings, num_steps=60) == plain


def test_a_chosen_rate_learns_what_a_hundredth_of_it_and_a_hundred_times_it_do_not(make_model, make_batches):
    """20 updates of plain descent with the rate found, and with ones far from it."""
    found = learning_rate_range(make_model(), make_batches(5), TrainSettings(**PLAIN))

    def loss_after(rate: float) -> float:
        model = make_model().train()
        for _ in range(4):
            for batch in make_batches(5).batches:
                loss = nn.functional.cross_entropy(model(batch.images), batch.labels)
                model.zero_grad()
                loss.backward()
                with torch.no_grad():
                    for weight in model.parameters():
                        weight.sub_(rate * weight.grad)
        return nn.functional.cross_entropy(model(batch.images), batch.labels).item()

    assert loss_after(found.steepest) < 0.7 * loss_after(found.steepest / 100)
    assert not loss_after(found.steepest) > 0.7 * loss_after(found.steepest * 100)


def test_a_loss_that_falls_nowhere_is_an_error(make_batches):
    class Deaf(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3))

        def forward(self, images):
            return 0 * self.w + torch.zeros(len(images), 3)

    with pytest.raises(NumericError, match=r"`learning_rate='find'`: the loss falls at no learning rate between 1e-07 and 10") as caught:
        learning_rate_range(Deaf(), make_batches(3), TrainSettings(**PLAIN))

    assert caught.value.remedy == "Give `learning_rate` a number, and look at the labels."


def test_a_loss_that_is_not_finite_from_the_start_is_an_error(make_model, make_batches):
    model = make_model()
    with torch.no_grad():
        model[0].weight.fill_(math.inf)

    with pytest.raises(NumericError, match=r"falls at no learning rate at all"):
        learning_rate_range(model, make_batches(3), TrainSettings(**PLAIN))


def test_no_pictures_are_an_error(make_model, make_batches):
    with pytest.raises(DataError, match=r"no training pictures"):
        learning_rate_range(make_model(), make_batches(0), TrainSettings(**PLAIN))
