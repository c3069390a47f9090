"""The learning-rate range test: raise the rate until the loss explodes, and see where it fell fastest."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from striate.core.errors import DataError, NumericError
from striate.engine.fit import Training
from striate.engine.schedules import Schedule
from striate.engine.settings import TrainSettings
from striate.engine.step import Batch, Batches

LOWEST, HIGHEST = 1e-7, 10.0
NUM_STEPS = 100
SMOOTHING = 0.9  # share of the mean of the losses so far in the next one
SETTLING = 10  # first losses, whose mean is over too few batches to have a slope
EXPLODED = 4.0  # times the lowest smoothed loss
ROUNDING = 1e-6  # share of the first loss: a slope that is none


class LearningRateRange(NamedTuple):
    """The result of a range test: one number for each update, and the rates derived from them."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]  # of the batch, before its update
    smoothed: tuple[float, ...]
    steepest: float  # the rate at which the smoothed loss falls fastest, per decade of the rate: the choice
    tenth_of_lowest: float  # a tenth of the rate at which the smoothed loss is lowest: a second opinion


def learning_rate_range(
    model: nn.Module,
    batches: Batches,
    settings: TrainSettings,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    num_steps: int = NUM_STEPS,
    class_counts: Tensor | None = None,
) -> LearningRateRange:
    """Train a copy of `model` while its learning rate grows, and see where the loss falls fastest.

        rate_t = lowest (highest / lowest)^(t / (T - 1))          m_t = 0.9 m_(t-1) + 0.1 loss_t          smoothed_t = m_t / (1 - 0.9^(t+1))

    for t from 0 to T - 1. It ends early when the smoothed loss exceeds 4 times its lowest, or is not finite. The first 10 updates, whose
    mean is over few batches, are not chosen.

    Args:
        model: Maps `batch.images` to outputs; neither its weights nor its modes change.
        batches: The training set; it begins anew when it ends before the test.
        settings: The training settings, except the rate and the schedule.
        lowest: Rate of the first update.
        highest: Rate of the last.
        num_steps: Updates, T.
        class_counts: (K,) how many of the pictures each class has; for weights of classes that go by them.

    Raises:
        NumericError: the loss falls nowhere.
        DataError: there are no training pictures.

    Cost: T updates, and the memory of a second copy of the weights.

    Source: Smith, 2017, arXiv:1506.01186, section 3.3, with the rate raised exponentially and a smoothed loss, as is common practice.
    """
    if len(batches) == 0:
        raise DataError("no training pictures")
    trained = copy.deepcopy(model)
    if not trained.training:
        trained.train()
    settings = dataclasses.replace(settings, learning_rate=highest, steps=num_steps, compile=False, ema=None, swa_start=None)
    training = Training(trained, batches, settings, None, class_counts)
    training.schedule = Schedule(lambda t: (lowest / highest) ** (1 - t / max(1, num_steps - 1)))
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for step, batch in enumerate(itertools.islice(_endless(batches), num_steps)):
        try:
            result = training.update(batch)
        except NumericError:
            break
        loss = float(result.loss)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        value = mean / (1 - SMOOTHING ** (step + 1))
        if not math.isfinite(value):
            break
        rates.append(training.rate)
        losses.append(loss)
        smoothed.append(value)
        if value > EXPLODED * min(smoothed):
            break
    return _chosen(rates, losses, smoothed)


def _chosen(rates: list[float], losses: list[float], smoothed: list[float]) -> LearningRateRange:
    """The record, with the place of the steepest fall of the smoothed loss over the logarithm of the rate."""
    bottom = int(np.argmin(smoothed)) if smoothed else 0
    slopes = np.gradient(smoothed, np.log10(rates)) if len(smoothed) > 1 else np.zeros(1)
    falling = slopes[SETTLING : bottom + 1]
    if not len(falling) or falling.min() >= -ROUNDING * abs(smoothed[0]):
        reach = f"between {rates[0]:g} and {rates[-1]:g}" if rates else "at all"
        raise NumericError(
            f"`learning_rate='find'`: the loss falls at no learning rate {reach}", "Give `learning_rate` a number, and look at the labels."
        )
    steepest = rates[SETTLING + int(falling.argmin())]
    return LearningRateRange(tuple(rates), tuple(losses), tuple(smoothed), steepest, rates[bottom] / 10)


def _endless(batches: Batches) -> Iterator[Batch]:
    """The batches of epoch 1, 2, and so on."""
    for epoch in itertools.count(1):
        yield from batches.epoch(epoch)
