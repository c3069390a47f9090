"""Learning-rate schedules: the factor of the peak rate as a function of the share of the training that is done."""

from __future__ import annotations

import math
from collections.abc import Callable

from striate.engine.settings import TrainSettings

Schedule = Callable[[int], float]  # updates done -> factor of the peak learning rate


def constant(_progress: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(progress: float) -> float:
    """(1 + cos(pi progress)) / 2: from 1 to 0 (Loshchilov and Hutter, 2017, arXiv:1608.03983, without restarts)."""
    return (1 + math.cos(math.pi * progress)) / 2


def multi_step(progress: float, at: tuple[float, ...], gamma: float) -> float:
    """gamma to the number of places in `at` that `progress` has reached."""
    return gamma ** sum(progress >= place for place in at)


def schedule_of(settings: TrainSettings, num_steps: int, steps_per_epoch: int) -> Schedule:
    """The schedule that `settings` name, over `num_steps` updates, after a linear warm-up from 0.

    During the warm-up of w updates the factor of update t (from 0) is (t + 1) / w; after it, the named schedule runs over the rest.
    """
    shapes: dict[str, Callable[[float], float]] = {
        "constant": constant,
        "cosine": cosine,
        "step": lambda progress: multi_step(progress, settings.step_at, settings.step_gamma),
    }
    shape = shapes[settings.schedule]
    warmup = min(round(settings.warmup_epochs * steps_per_epoch), num_steps // 2)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return shape((step - warmup) / max(1, num_steps - warmup))

    return factor
