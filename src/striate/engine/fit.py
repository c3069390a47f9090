"""The loop: epochs of updates, each followed by a validation.

`fit` is a generator. It yields an event after each update and after each epoch; saving, logging and drawing happen where it is
consumed, in the order written there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.devices import choose_device, is_bfloat16_fast
from striate.core.errors import DataError, NumericError, UsageError
from striate.core.modes import evaluation_mode, kept_modes
from striate.core.seeds import mixed, torch_seed
from striate.engine.accelerate import pool_before_activation, tune_allocator
from striate.engine.interrupt import stop_on_signals
from striate.engine.optimizers import optimizer_of
from striate.engine.schedules import Schedule, schedule_of
from striate.engine.settings import TrainSettings
from striate.engine.step import Batch, StepResult, StepRule, train_step

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
    is_best: bool = False  # better on the validation set than after every epoch before: by accuracy, then by loss
    interrupted: bool = False  # this is the last event, because a signal asked to stop before the training was done


def precision_of(settings: TrainSettings, device: torch.device) -> torch.dtype | None:
    """The dtype to compute convolutions and products in, or None for float32."""
    fast = settings.precision == "auto" and is_bfloat16_fast(device)
    return torch.bfloat16 if fast or settings.precision == "bfloat16" else None


class Tally:
    """An epoch's sums so far. They stay on the device until they are asked for."""

    def __init__(self, device: torch.device) -> None:
        exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's has no float64
        self.loss = torch.zeros((), device=device, dtype=exact)
        self.correct = torch.zeros((), device=device, dtype=torch.int64)
        self.seen = self.steps = 0

    def add(self, result: StepResult, num_images: int) -> None:
        """Count one update."""
        self.loss += result.loss
        self.correct += result.correct
        self.seen += num_images
        self.steps += 1

    @property
    def is_finite(self) -> bool:
        """Whether each loss was; waits for the device."""
        return math.isfinite(self.loss.item())


def fit(model: nn.Module, train_batches: Batches, settings: TrainSettings, *, val_batches: Batches | None = None) -> Iterator[FitEvent]:
    """Train `model` in place.

    A model that comes in evaluation mode trains in training mode; one that comes in training mode keeps the modes of its parts, so
    that a frozen batch norm stays frozen. After the last event each part is in the mode that it came in.

    SIGINT and SIGTERM end the training after the update under way: the epoch so far is validated and yielded as interrupted.

    Args:
        model: Maps `batch.images` to logits (N, K); on the device of the batches.
        train_batches: The training set.
        settings: How to train.
        val_batches: What to validate on after each epoch; None gives NaN in the rows.

    Yields:
        An event after each update, and one with a row after each epoch.

    Raises:
        NumericError: the loss or a weight is NaN or Inf; names the update. The weights may be ruined; what was saved before is not.
        DataError: there are no training or no validation batches, or fewer come than there should be.
        UsageError: each parameter of the model is frozen.
    """
    if len(train_batches) == 0:
        raise DataError("no training pictures")
    if val_batches is not None and len(val_batches) == 0:
        raise DataError("no validation pictures")
    device = choose_device(settings.device)
    num_steps = settings.steps or settings.epochs * len(train_batches)
    update = updater(model, settings, device, schedule_of(settings, num_steps, len(train_batches)))
    best_score, best_epoch = (-math.inf, -math.inf), 0
    with stop_on_signals() as stop, kept_modes(model), pool_before_activation(model):
        if not model.training:
            model.train()
        step, epoch, ended = 0, 0, False
        while not ended:
            epoch += 1
            started = time.perf_counter()
            tally = Tally(device)
            steps_in_epoch = min(len(train_batches), num_steps - step)
            for batch in train_batches.epoch(epoch):
                step += 1
                result, rate = update(batch, step)
                tally.add(result, len(batch.labels))
                if (device.type == "cpu" or step % CHECK_EVERY == 0) and not tally.is_finite:
                    raise _not_finite(step, rate)
                yield FitEvent(epoch, step, tally.steps, steps_in_epoch)
                if stop.asked or tally.steps == steps_in_epoch:
                    break
            else:
                raise DataError(f"epoch {epoch} has {tally.steps} batches, but {len(train_batches)} were promised")
            if not tally.is_finite:
                raise _not_finite(step, rate)
            if (name := first_not_finite(model)) is not None:
                raise _not_finite(step, rate, f"the weight {name}")
            seconds = time.perf_counter() - started
            val_loss, val_accuracy = validate(model, val_batches) if val_batches is not None else (math.nan, math.nan)
            if val_batches is not None and not math.isfinite(val_loss):
                raise _not_finite(step, rate)
            is_best = val_batches is None or (val_accuracy, -val_loss) > best_score
            if is_best:
                best_score, best_epoch = (val_accuracy, -val_loss), epoch
            row = EpochRow(
                epoch=epoch,
                step=step,
                train_loss=tally.loss.item() / tally.steps,
                train_accuracy=tally.correct.item() / tally.seen,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                learning_rate=rate,
                seconds=round(seconds, 4),
                images_per_second=round(tally.seen / seconds, 1),
            )
            exhausted = step == num_steps or (settings.patience is not None and epoch - best_epoch >= settings.patience)
            interrupted = stop.asked and not exhausted
            ended = exhausted or interrupted
            yield FitEvent(epoch, step, tally.steps, steps_in_epoch, row, is_best, interrupted)


def updater(
    model: nn.Module, settings: TrainSettings, device: torch.device, schedule: Schedule
) -> Callable[[Batch, int], tuple[StepResult, float]]:
    """A function that updates `model` on a batch as step t (from 1), and gives what the step tells and its learning rate.

    What is random in the step, such as dropout, depends on the seed and t alone.
    """
    tune_allocator()
    if settings.channels_last:
        for weight in model.parameters():
            if weight.ndim == 4:  # convolutions of images; torch has another name for those of volumes
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    optimizer = optimizer_of(settings, model)
    if not optimizer.groups:
        raise UsageError("the network has nothing to train: each of its parameters is frozen", "Freeze fewer parts.")
    stepped = cast("nn.Module", torch.compile(model)) if settings.compile else model
    autocast = precision_of(settings, device)

    def loss_fn(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=settings.smoothing)

    rule = StepRule(loss_fn=loss_fn, max_grad_norm=settings.max_grad_norm, autocast=autocast)

    def update(batch: Batch, step: int) -> tuple[StepResult, float]:
        rate = settings.learning_rate * schedule(step - 1)
        with torch_seed(mixed(settings.seed, step), device):
            result = train_step(stepped, batch, optimizer, rule, rate)
        return result, rate

    return update


def first_not_finite(model: nn.Module) -> str | None:
    """The name of a parameter that holds NaN or Inf: a saturated activation can hide one from every loss."""
    return next((name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()), None)


def _not_finite(step: int, rate: float, what: str = "the loss") -> NumericError:
    remedy = "Train with a smaller --lr, with --clip-grad 1, or with --precision float32."
    return NumericError(f"{what} is not finite at step {step} (learning rate {rate:g})", remedy)


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
