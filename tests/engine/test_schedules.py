"""The factor of the learning rate at each update, against closed forms and torch's schedulers."""

from __future__ import annotations

import json
import math
import warnings
from typing import get_args

import pytest
import torch

from striate.core.errors import UsageError
from striate.engine.schedules import extended, schedule_of
from striate.engine.settings import ScheduleName, TrainSettings

schedulers = torch.optim.lr_scheduler


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


TWINS = {  # ours over 60 updates, 10 an epoch; torch's
    "step": ({"schedule": "step", "step_every": 2, "step_gamma": 0.3}, lambda o: schedulers.StepLR(o, 20, 0.3)),
    "multi_step": (
        {"schedule": "multi_step", "step_at": (0.3, 0.5, 0.9), "step_gamma": 0.2},
        lambda o: schedulers.MultiStepLR(o, [18, 30, 54], 0.2),
    ),
    "exponential": ({"schedule": "exponential", "step_every": 1, "step_gamma": 0.5}, lambda o: schedulers.ExponentialLR(o, 0.5**0.1)),
    "cosine": ({"schedule": "cosine"}, lambda o: schedulers.CosineAnnealingLR(o, T_max=60)),
    "cosine to a floor": ({"schedule": "cosine", "min_factor": 0.1}, lambda o: schedulers.CosineAnnealingLR(o, T_max=60, eta_min=0.1)),
    "cosine_restarts": ({"schedule": "cosine_restarts"}, lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=15)),
    "cosine_restarts, longer": (
        {"schedule": "cosine_restarts", "cycle_epochs": 0.7, "cycle_factor": 2, "min_factor": 0.05},
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=7, T_mult=2, eta_min=0.05),
    ),
    "one_cycle": ({"schedule": "one_cycle"}, lambda o: schedulers.OneCycleLR(o, max_lr=1.0, total_steps=60, cycle_momentum=False)),
    "polynomial": ({"schedule": "polynomial", "power": 0.9}, lambda o: schedulers.PolynomialLR(o, total_iters=60, power=0.9)),
    "linear": (
        {"schedule": "linear", "min_factor": 0.25},
        lambda o: schedulers.LinearLR(o, start_factor=1.0, end_factor=0.25, total_iters=60),
    ),
    "triangular": (
        {"schedule": "triangular", "cycle_epochs": 1.6, "min_factor": 0.2},
        lambda o: schedulers.CyclicLR(o, base_lr=0.2, max_lr=1.0, step_size_up=8, cycle_momentum=False),
    ),
}


@pytest.mark.parametrize(("settings", "make"), TWINS.values(), ids=TWINS)
def test_without_warmup_a_schedule_is_torchs(settings, make):
    ours = factors(60, warmup_epochs=0, **settings)

    assert ours == pytest.approx(torch_factors(60, make), rel=0, abs=1e-12)
    assert len(set(ours)) > 2


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
    ours = factors(50, schedule="multi_step", warmup_epochs=1, step_at=(0.5, 0.75), step_gamma=0.1)

    assert ours[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert ours[10:30] == [1] * 20
    assert ours[30:40] == pytest.approx([0.1] * 10)
    assert ours[40:] == pytest.approx([0.01] * 10)


def test_a_triangle_by_hand():
    """Half a cycle of 4 updates up from a quarter, and down."""
    ours = factors(10, 4, schedule="triangular", cycle_epochs=2, min_factor=0.25, warmup_epochs=0)

    assert ours == pytest.approx([0.25, 0.4375, 0.625, 0.8125, 1, 0.8125, 0.625, 0.4375, 0.25, 0.4375])


def test_a_warmup_damps_the_rise_of_a_triangle():
    ours = factors(10, 4, schedule="triangular", cycle_epochs=2, min_factor=0.25, warmup_epochs=1)

    assert ours == pytest.approx([0.25 / 4, 0.4375 / 2, 0.625 * 3 / 4, 0.8125, 1, 0.8125, 0.625, 0.4375, 0.25, 0.4375])


def test_one_cycle_rises_for_three_tenths():
    ours = factors(100, schedule="one_cycle", warmup_epochs=0)
    damped = factors(100, schedule="one_cycle", warmup_epochs=1)

    assert ours[0] == pytest.approx(1 / 25)
    assert ours.index(max(ours)) == 29 and ours[29] == pytest.approx(1)
    assert ours[-1] == pytest.approx(1 / 250_000)
    assert damped[:10] == pytest.approx([factor * (step + 1) / 10 for step, factor in enumerate(ours[:10])])
    assert damped[10:] == pytest.approx(ours[10:])


@pytest.mark.parametrize("schedule", get_args(ScheduleName))
def test_no_schedule_leaves_its_bounds_and_all_warm_up(schedule):
    fields = {"step_every": 0.5, "step_gamma": 0.01, "step_at": (0.1, 0.2, 0.3), "plateau_epochs": 1}
    factor = schedule_of(TrainSettings(schedule=schedule, min_factor=0.15, warmup_epochs=0.5, **fields), 50, 10)

    ours = []
    for step in range(50):
        ours.append(factor(step))
        factor.observe(1.0)

    if schedule not in {"one_cycle", "triangular"}:
        assert ours[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert ours[0] <= 0.2 and ours[:5] == sorted(ours[:5])
    assert max(ours) <= 1 + 1e-12
    assert min(ours[5:]) >= 0.15 - 1e-12
    assert schedule == "constant" or min(ours[5:]) < 0.25


def test_plateau_is_torchs():
    """A loss that falls, stays, jumps and falls again, after each of 30 epochs of 3 updates."""
    losses = [1.0, 0.8, 0.7, 0.7, 0.71, 0.9, 0.72, 0.7, 0.69, 0.7, 0.75, 0.7, *[0.8] * 10, 0.5, *[0.6] * 7]
    ours = schedule_of(TrainSettings(schedule="plateau", plateau_epochs=3, step_gamma=0.3, min_factor=0.01, warmup_epochs=0), 90, 3)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = schedulers.ReduceLROnPlateau(optimizer, factor=0.3, patience=2, threshold=0, min_lr=0.01, eps=0)

    seen = []
    for epoch, loss in enumerate(losses):
        seen.append((ours(3 * epoch), optimizer.param_groups[0]["lr"]))
        ours.observe(loss)
        theirs.step(loss)

    assert all(a == pytest.approx(b, rel=0, abs=1e-12) for a, b in seen)
    assert len({a for a, _ in seen}) == 5  # 1, 0.3, 0.09, 0.027, 0.01


def test_a_plateau_goes_on_from_its_state_and_others_have_none():
    settings = TrainSettings(schedule="plateau", plateau_epochs=2, warmup_epochs=0)
    losses = [1.0, 0.9, 0.95, 0.9, 0.8, 0.85, 0.9, 0.9, 0.9]
    straight = schedule_of(settings, 90, 10)
    expected = []
    for loss in losses:
        straight.observe(loss)
        expected.append(straight(0))

    for cut in range(len(losses)):
        first, second = schedule_of(settings, 90, 10), schedule_of(settings, 90, 10)
        for loss in losses[:cut]:
            first.observe(loss)
        second.load_state(json.loads(json.dumps(first.state())))
        seen = []
        for loss in losses[cut:]:
            second.observe(loss)
            seen.append(second(0))
        assert seen == expected[cut:]
    assert schedule_of(TrainSettings(schedule="cosine"), 90, 10).state() == {}


def test_a_plateau_without_validation_is_an_error():
    schedule = schedule_of(TrainSettings(schedule="plateau"), 90, 10)

    with pytest.raises(UsageError, match=r"the schedule plateau needs a validation loss, got NaN") as caught:
        schedule.observe(math.nan)

    assert caught.value.remedy == "Train with a validation split, or another `schedule`."


def test_an_extended_run_goes_on_as_if_it_had_been_planned_so():
    """A cosine over 10 epochs that gets 10 more goes on at (1 + cos(pi / 2)) / 2; what counts epochs does not notice."""
    settings = TrainSettings(epochs=10, schedule="cosine", warmup_epochs=0)

    longer = extended(settings, 10, 7)

    assert longer == TrainSettings(epochs=20, schedule="cosine", warmup_epochs=0)
    rates = [schedule_of(longer, 140, 7)(step) for step in range(70, 140)]
    assert rates[0] == pytest.approx(0.5)
    assert rates == pytest.approx([(1 + math.cos(math.pi * step / 140)) / 2 for step in range(70, 140)])
    assert extended(extended(settings, 4, 7), 6, 7) == longer
    counted = TrainSettings(epochs=10, schedule="step", step_every=3, warmup_epochs=1)
    before, after = schedule_of(counted, 70, 7), schedule_of(extended(counted, 5, 7), 105, 7)
    assert [before(step) for step in range(70)] == [after(step) for step in range(70)]


def test_a_run_that_was_planned_in_updates_is_extended_by_updates():
    assert extended(TrainSettings(steps=50), 2, 7).steps == 64

    with pytest.raises(UsageError, match=r"planned as 50 steps, which cannot be extended by epochs"):
        extended(TrainSettings(steps=50), 2)


def test_extending_by_nothing_is_an_error():
    with pytest.raises(UsageError, match=r"extended by 1 epoch or more, got 0"):
        extended(TrainSettings(), 0, 7)


def test_constant_stays_and_warms_up_too():
    assert factors(25, schedule="constant", warmup_epochs=0) == [1] * 25
    assert factors(25, schedule="constant", warmup_epochs=0.2) == pytest.approx([0.5, 1, *[1] * 23])


def test_warmup_takes_at_most_half_of_the_training():
    assert factors(8, schedule="constant", warmup_epochs=5) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


@pytest.mark.parametrize("schedule", [name for name in get_args(ScheduleName) if name not in {"one_cycle", "triangular"}])
def test_a_single_update_runs_at_the_full_rate(schedule):
    assert factors(1, schedule=schedule, warmup_epochs=1) == [1]
