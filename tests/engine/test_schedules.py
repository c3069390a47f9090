"""The factor of the learning rate at each update, against closed forms and torch's schedulers."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from striate.engine.schedules import schedule_of
from striate.engine.settings import TrainSettings


def factors(num_steps: int, steps_per_epoch: int = 10, **settings: object) -> list[float]:
    factor = schedule_of(TrainSettings(**settings), num_steps, steps_per_epoch)
    return [factor(step) for step in range(num_steps)]


def torch_factors(num_steps: int, make: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SequentialLR still hands its children the epoch
            scheduler.step()
    return rates


def test_cosine_is_torchs():
    expected = torch_factors(37, lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=37))

    assert factors(37, schedule="cosine", warmup_epochs=0) == pytest.approx(expected, abs=1e-12)


def test_cosine_by_hand():
    ours = factors(40, schedule="cosine", warmup_epochs=0)

    assert ours[0] == 1
    assert ours[10] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert ours[20] == pytest.approx(0.5)
    assert 0 < ours[-1] < 0.002


def test_warmup_is_torchs_linear_one_and_the_schedule_runs_over_the_rest():
    """Half an epoch of 10 updates: 1/5, 2/5, .. 5/5, then a cosine over the other 35."""

    def linear_then_cosine(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        schedulers = torch.optim.lr_scheduler
        warmup = schedulers.LinearLR(optimizer, start_factor=1 / 5, end_factor=1, total_iters=4)
        return schedulers.SequentialLR(optimizer, [warmup, schedulers.CosineAnnealingLR(optimizer, T_max=35)], milestones=[5])

    ours = factors(40, schedule="cosine", warmup_epochs=0.5)

    assert ours[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert ours == pytest.approx(torch_factors(40, linear_then_cosine), abs=1e-12)


def test_steps_multiply_at_their_shares_of_the_rest():
    ours = factors(50, schedule="step", warmup_epochs=1, step_at=(0.5, 0.75), step_gamma=0.1)

    assert ours[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert ours[10:30] == [1] * 20
    assert ours[30:40] == pytest.approx([0.1] * 10)
    assert ours[40:] == pytest.approx([0.01] * 10)


def test_constant_stays_and_warms_up_too():
    assert factors(25, schedule="constant", warmup_epochs=0) == [1] * 25
    assert factors(25, schedule="constant", warmup_epochs=0.2) == pytest.approx([0.5, 1, *[1] * 23])


def test_warmup_takes_at_most_half_of_the_training():
    assert factors(8, schedule="constant", warmup_epochs=5) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_a_single_update_runs_at_the_full_rate(schedule):
    assert factors(1, schedule=schedule, warmup_epochs=1) == [1]
