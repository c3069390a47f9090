"""The loop: epochs of updates, each followed by a validation.

`fit` is a generator. It yields an event after each update and after each epoch; saving, logging and drawing happen where it is
consumed, in the order written there.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.devices import choose_device, is_bfloat16_fast
from striate.core.errors import DataError, NumericError
from striate.core.modes import evaluation_mode
from striate.core.seeds import mixed, torch_seed
from striate.engine.accelerate import pool_before_activation, tune_allocator
from striate.engine.interrupt import stop_on_signals
from striate.engine.optimizers import optimizer_of
from striate.engine.schedules import schedule_of
from striate.engine.settings import TrainSettings
from striate.engine.step import Batch, train_step

CHECK_EVERY = 20  # updates between looks at the loss on a device that computes on its own


class Batches(Protocol):
    """What the engine needs of a training set: a fixed number of batches an epoch, in an order that the epoch decides."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of `epoch`, counted from 1."""


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


class FitEvent(NamedTuple):
    """An update is done (`row` is None) or an epoch is."""

    epoch: int
    step: int  # updates since the start
    step_in_epoch: int
    steps_in_epoch: int
    row: EpochRow | None = None
    is_best: bool = False  # the model is better on the validation set than after every epoch before
    interrupted: bool = False  # this is the last event, because a signal asked to stop


def precision_of(settings: TrainSettings, device: torch.device) -> torch.dtype | None:
    """The dtype to compute convolutions and products in, or None for float32."""
    fast = settings.precision == "auto" and is_bfloat16_fast(device)
    return torch.bfloat16 if fast or settings.precision == "bfloat16" else None


def fit(model: nn.Module, train_batches: Batches, settings: TrainSettings, *, val_batches: Batches | None = None) -> Iterator[FitEvent]:
    """Train `model` in place; its mode is training between the first event and the last, then as it was.

    Args:
        model: Maps `batch.images` to logits (N, K); on the device of the batches.
        train_batches: The training set.
        settings: How to train.
        val_batches: What to validate on after each epoch; None gives NaN in the rows.

    Yields:
        An event after each update, and one with a row after each epoch.

    Raises:
        NumericError: the loss is NaN or Inf; names the update. The weights may be ruined; what was saved before is not.
        DataError: there are no training batches.
    """
    if len(train_batches) == 0:
        raise DataError("no training pictures")
    device = choose_device(settings.device)
    num_steps = settings.steps or settings.epochs * len(train_batches)
    schedule = schedule_of(settings, num_steps, len(train_batches))
    tune_allocator()
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimizer_of(settings, model)
    stepped = torch.compile(model) if settings.compile else model

    def loss_fn(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=settings.smoothing)

    was_training = model.training
    best_score, best_epoch = (-1.0, -math.inf), 0
    with stop_on_signals() as stop, contextlib.ExitStack() as cleanup:
        cleanup.callback(model.train, was_training)
        cleanup.enter_context(pool_before_activation(model))
        step, epoch = 0, 0
        while step < num_steps and not stop.asked:
            epoch += 1
            model.train()
            started = time.perf_counter()
            loss_sum = torch.zeros((), device=device, dtype=torch.float64)
            correct = torch.zeros((), device=device, dtype=torch.int64)
            seen, in_epoch, steps_in_epoch, rate = 0, 0, min(len(train_batches), num_steps - step), 0.0
            for batch in train_batches.epoch(epoch):
                rate = settings.learning_rate * schedule(step)
                step, in_epoch = step + 1, in_epoch + 1
                with torch_seed(mixed(settings.seed, step), device):  # dropout does not depend on what came before
                    result = train_step(
                        stepped,
                        batch,
                        optimizer,
                        loss_fn=loss_fn,
                        learning_rate=rate,
                        max_grad_norm=settings.max_grad_norm,
                        autocast=precision_of(settings, device),
                    )
                loss_sum += result.loss
                correct += result.correct
                seen += len(batch.labels)
                if (device.type == "cpu" or step % CHECK_EVERY == 0) and not torch.isfinite(loss_sum):
                    raise _not_finite(step, rate)
                yield FitEvent(epoch, step, in_epoch, steps_in_epoch)
                if stop.asked or in_epoch == steps_in_epoch:
                    break
            if not torch.isfinite(loss_sum):
                raise _not_finite(step, rate)
            seconds = time.perf_counter() - started
            val_loss, val_accuracy = validate(model, val_batches) if val_batches is not None else (math.nan, math.nan)
            if val_batches is not None and not math.isfinite(val_loss):
                raise _not_finite(step, rate)
            score = (val_accuracy, -val_loss)
            is_best = val_batches is None or score >= best_score
            if is_best:
                best_score, best_epoch = score, epoch
            row = EpochRow(
                epoch=epoch,
                step=step,
                train_loss=float(loss_sum) / in_epoch,
                train_accuracy=int(correct) / seen,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                learning_rate=rate,
                seconds=round(seconds, 4),
                images_per_second=round(seen / seconds, 1),
            )
            yield FitEvent(epoch, step, in_epoch, steps_in_epoch, row, is_best, interrupted=stop.asked)
            if settings.patience is not None and epoch - best_epoch >= settings.patience:
                break


def _not_finite(step: int, rate: float) -> NumericError:
    remedy = "Train with a smaller --lr, with --clip-grad 1, or with --precision float32."
    return NumericError(f"the loss is not finite at step {step} (learning rate {rate:g})", remedy)


def validate(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy over `batches`, in float32 and evaluation mode."""
    loss, correct, seen = 0.0, 0, 0
    with torch.inference_mode(), evaluation_mode(model):
        for batch in batches.epoch(1):
            logits = model(batch.images)  # (N, K)
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
            correct += int((logits.argmax(1) == batch.labels).sum())
            seen += len(batch.labels)
    return loss / seen, correct / seen
