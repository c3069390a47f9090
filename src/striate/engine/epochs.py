"""Events of a training: of each update, of each epoch, and which epoch was the best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from striate.engine.settings import MonitorName

if TYPE_CHECKING:
    from torch import Tensor


class EpochRow(NamedTuple):
    """One epoch in numbers: a row of `metrics.csv`. Losses are cross-entropies in nats, accuracies shares."""

    epoch: int
    step: int  # updates since the start
    train_loss: float  # mean over the epoch's updates, smoothing and auxiliary heads included
    train_accuracy: float  # of each batch before its own update, augmentation included
    val_loss: float
    val_accuracy: float
    learning_rate: float  # of the last update
    seconds: float  # of training, validation not counted
    images_per_second: float
    val_mean_iu: float | None = None  # of masks, over all their pixels
    val_robust_accuracy: float | None = None  # of an adversarial training: under pgd
    val_macro_f1: float | None = None  # where it is monitored
    val_balanced_accuracy: float | None = None  # where it is monitored
    val_auxiliary_accuracy: float | None = None  # of an auxiliary task
    samples: str = "images"  # what is counted a second


class FitEvent(NamedTuple):
    """An update is done (`row` is None) or an epoch is."""

    epoch: int
    step: int  # updates since the start
    step_in_epoch: int
    steps_in_epoch: int
    row: EpochRow | None = None
    is_best: bool = False  # better on the validation set than after every epoch before: by the monitored measure, then the loss
    interrupted: bool = False  # this is the last event, because a signal asked to stop before the training was done
    notes: tuple[str, ...] = ()  # what the user should be told
    loss: Tensor | None = None  # (), of the update; on the device


def score_of(row: EpochRow, monitor: MonitorName = "accuracy") -> tuple[float, float]:
    """The sort key of an epoch, larger is better: the monitored measure, then -loss.

    "accuracy" is the mean IU of masks, and the accuracy under pgd of an adversarial training.
    """
    accuracy = next((value for value in (row.val_mean_iu, row.val_robust_accuracy) if value is not None), row.val_accuracy)
    measures = {
        "accuracy": accuracy,
        "loss": -row.val_loss,
        "macro_f1": row.val_macro_f1,
        "balanced_accuracy": row.val_balanced_accuracy,
    }
    value = measures[monitor]
    return math.nan if value is None else value, -row.val_loss
