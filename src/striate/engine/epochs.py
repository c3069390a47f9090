"""Events of a training: of each update, of each epoch, and which epoch was the best."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from striate.engine.settings import MonitorName
from striate.engine.step import StepResult


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


class Tally:
    """An epoch's sums so far. They stay on the device until they are read."""

    def __init__(self, device: torch.device) -> None:
        exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's has no float64
        self.loss = torch.zeros((), device=device, dtype=exact)
        self.correct = torch.zeros((), device=device, dtype=exact)
        self.seen = self.steps = 0
        self.seconds = 0.0  # before the present part of the epoch

    def add(self, result: StepResult) -> None:
        """Count one update."""
        self.loss += result.loss
        self.correct += result.correct
        self.seen += result.num_images
        self.steps += 1

    @property
    def is_finite(self) -> bool:
        """Return whether each loss was finite; waits for the device."""
        return math.isfinite(self.loss.item())

    def state(self) -> dict[str, float]:
        """The sums, as plain numbers that are exact."""
        return {
            "loss": self.loss.item(), "correct": self.correct.item(), "seen": self.seen, "steps": self.steps, "seconds": self.seconds
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state from `state`."""
        self.loss.fill_(state["loss"])
        self.correct.fill_(state["correct"])
        self.seen, self.steps, self.seconds = int(state["seen"]), int(state["steps"]), float(state["seconds"])


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
