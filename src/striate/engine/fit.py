"""The loop: epochs of updates, each followed by a validation.

`fit` gives a `Training`, which yields an event after each update and after each epoch; saving, logging and drawing happen where it is
consumed, in the order written there. Between two events the training can be written down (`state`) and later be continued from there
(`load_state`), bit for bit: what is random depends on the seed, the epoch and the sample alone.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import DataError, EnvironmentFault, is_out_of_memory
from striate.core.modes import evaluation_mode, kept_modes
from striate.core.seeds import deterministic_algorithms
from striate.engine.accelerate import pool_before_activation
from striate.engine.adversarial import examiner_of, robust_accuracy
from striate.engine.averaging import average_of, refresh_norms
from striate.engine.confusion import ConfusionTable
from striate.engine.failures import first_not_finite
from striate.engine.freezing import Freezer
from striate.engine.interrupt import StopRequest, stop_on_signals
from striate.engine.processes import ProcessGroup
from striate.engine.settings import MonitorName, TrainSettings
from striate.engine.shared_norms import norms_together
from striate.engine.step import Batches, InParts, Loss, StepResult, hits_of_classes
from striate.engine.update import Updater

REFRESH_BATCHES = 100  # from which the norms of an average of weights get their statistics
OF_CLASSES = ("macro_f1", "balanced_accuracy")  # monitored measures that need to know which class was given to which
CHECK_EVERY = 20  # updates between looks at the loss on a device that computes on its own


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


class Validation(NamedTuple):
    """The results of a validation; see `EpochRow`."""

    loss: float
    accuracy: float
    mean_iu: float | None = None
    robust_accuracy: float | None = None
    macro_f1: float | None = None
    balanced_accuracy: float | None = None


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


def fit(
    model: nn.Module,
    train_batches: Batches,
    settings: TrainSettings,
    *,
    val_batches: Batches | None = None,
    class_counts: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Training:
    """Train `model` in place; consume the events to do it.

    A model that comes in evaluation mode trains in training mode; one that comes in training mode keeps the modes of its parts, so
    that a frozen batch norm stays frozen. After the last event each part is in the mode that it came in.

    SIGINT and SIGTERM end the training after the update under way, with an event that is marked as interrupted.

    Args:
        model: Maps `batch.images` to outputs, such as logits (N, K); on the device of the batches.
        train_batches: The training set.
        settings: The training settings.
        val_batches: The batches to validate on after each epoch; None gives NaN in the rows.
        class_counts: (K,) how many training samples each class has, for balanced class weights.
        group: The processes that train together; the batches of each are its parts of the same batches (`Batches.divide`).

    Raises:
        TrainingDivergedError: the loss or a weight is NaN or Inf; names the update and the part of the network. The weights may be
            ruined; what was saved before is not.
        DataError: there are no training or no validation batches, or fewer come than there should be.
        UsageError: each parameter of the model is frozen.
    """
    return Training(model, train_batches, settings, val_batches, class_counts, group)


class Training:
    """A training in progress: an iterator of `FitEvent`, between which it can be saved and continued."""

    def __init__(
        self,
        model: nn.Module,
        train_batches: Batches,
        settings: TrainSettings,
        val_batches: Batches | None,
        class_counts: Tensor | None,
        group: ProcessGroup | None = None,
    ) -> None:
        self.model, self.settings, self.group = model, settings, group
        if group is not None:
            group.take_from_first([*model.parameters(), *model.buffers()])
        self.train_batches, self.val_batches = train_batches, val_batches
        self.device = choose_device(settings.device)
        self.num_steps = settings.steps or settings.epochs * len(train_batches)
        self.updater = Updater(
            model,
            settings,
            self.device,
            num_steps=self.num_steps,
            steps_per_epoch=len(train_batches),
            class_counts=class_counts,
            group=group,
        )
        self.freezer = Freezer(model, settings.freeze, settings.unfreeze_every)
        self.average = average_of(settings, model)
        self.step, self.epoch = 0, 1  # updates done; the epoch under way
        self.tally = Tally(self.device)
        self.best_score, self.best_epoch = (-math.inf, -math.inf), 0
        self.gained_epoch = 0  # the last in which the monitored measure was better than ever before
        self.stopped_early = False
        self.rate = math.nan  # of the last update
        self.val_parts = 1  # in which a batch of the validation is computed
        self.done = False
        self._events = self._run()

    def __iter__(self) -> Iterator[FitEvent]:
        return self

    def __next__(self) -> FitEvent:
        return next(self._events)

    def close(self) -> None:
        """End the training early: modes, signals and parts are restored."""
        self._events.close()

    def kept_weights(self) -> contextlib.AbstractContextManager[None]:
        """Context in which the model holds the weights that are validated and kept: the averaged ones, if there is an average."""
        return self.average.applied() if self.average is not None else contextlib.nullcontext()

    # ---- writing down and continuing

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of the training as it is now, by file; not copies."""
        files = {"model": dict(self.model.state_dict()), "optimizer": self.updater.optimizer.state()}
        if self.average is not None:
            files["average"] = self.average.state()
        return files

    def state(self) -> dict[str, Any]:
        """The progress of the training, as plain numbers."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "tally": self.tally.state(),
            "best_score": [None if math.isinf(value) else value for value in self.best_score],
            "best_epoch": self.best_epoch,
            "gained_epoch": self.gained_epoch,
            "stopped_early": self.stopped_early,
            "learning_rate": None if math.isnan(self.rate) else self.rate,
            "update": self.updater.state(),
            "val_parts": self.val_parts,
        }

    def load_state(self, state: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> None:
        """Restore a state from `state` and `tensors`; call it before the first event."""
        self.model.load_state_dict(tensors["model"])
        self.updater.optimizer.load_state(tensors["optimizer"])
        if self.average is not None:
            self.average.load_state(tensors["average"])
        self.updater.load_state(state["update"])
        self.step, self.epoch, self.best_epoch = int(state["step"]), int(state["epoch"]), int(state["best_epoch"])
        self.tally.load_state(state["tally"])
        self.done = self.step >= self.num_steps and self.tally.steps == 0
        accuracy, minus_loss = (-math.inf if value is None else float(value) for value in state["best_score"])
        self.best_score = (accuracy, minus_loss)
        self.gained_epoch = int(state.get("gained_epoch", self.best_epoch))
        if state.get("stopped_early"):  # it is continued for more epochs: the patience starts again
            self.gained_epoch = self.epoch - 1
        self.val_parts = int(state.get("val_parts", 1))
        self.rate = math.nan if state["learning_rate"] is None else float(state["learning_rate"])

    # ---- the loop

    def _run(self) -> Generator[FitEvent]:
        if len(self.train_batches) == 0:
            raise DataError("no training pictures")
        if self.val_batches is not None and len(self.val_batches) == 0:
            raise DataError("no validation pictures")
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(stop_on_signals())
            stack.enter_context(kept_modes(self.model))
            stack.enter_context(contextlib.closing(self.freezer))
            stack.enter_context(pool_before_activation(self.model))
            if self.group is not None and self.settings.sync_norm:
                stack.enter_context(norms_together(self.model, self.group))
            if self.settings.deterministic:
                stack.enter_context(deterministic_algorithms())
            if not self.model.training:
                self.model.train()
            while not self.done:
                self.freezer.begin(self.epoch)
                left = self.num_steps - self.step + self.tally.steps
                steps_in_epoch = min(len(self.train_batches), left)
                yield from self._updates(steps_in_epoch, stop)
                complete = self.tally.steps == steps_in_epoch
                if not complete and self.best_epoch:
                    yield self._event(steps_in_epoch, interrupted=True)
                    return
                if complete:
                    self._average_epoch()
                row, is_best = self._validated()
                epoch, steps = self.epoch, self.tally.steps
                if complete:
                    self._next_epoch(row, is_best)
                interrupted = self._is_asked(stop) and not self.done
                yield FitEvent(epoch, self.step, steps, steps_in_epoch, row, is_best, interrupted, self._notes())
                if interrupted:
                    return

    def _updates(self, steps_in_epoch: int, stop: StopRequest) -> Iterator[FitEvent]:
        """The remaining updates of the epoch, until a signal asks to stop."""
        if self.tally.steps == steps_in_epoch:
            return
        started = time.perf_counter() - self.tally.seconds
        for batch in self.train_batches.epoch(self.epoch, self.tally.steps):
            result, self.rate = self.updater(batch, self.step + 1)
            self.step += 1
            self.tally.add(result)
            if self.settings.ema is not None and self.average is not None:
                self.average.update()
            if self.device.type != "cpu" and self.step % CHECK_EVERY == 0 and not self.tally.is_finite:
                raise self.updater.diverged(self.step, self.rate, None)
            self.tally.seconds = time.perf_counter() - started
            yield self._event(steps_in_epoch, loss=result.loss)
            if self._is_asked(stop) or self.tally.steps == steps_in_epoch:
                break
        else:
            raise DataError(f"epoch {self.epoch} has {self.tally.steps} batches, but {len(self.train_batches)} were announced")

    def _is_asked(self, stop: StopRequest) -> bool:
        """Return whether the training should stop; a signal to one process stops all."""
        return stop.asked if self.group is None else self.group.any(stop.asked)

    def _event(self, steps_in_epoch: int, *, interrupted: bool = False, loss: Tensor | None = None) -> FitEvent:
        return FitEvent(self.epoch, self.step, self.tally.steps, steps_in_epoch, interrupted=interrupted, notes=self._notes(), loss=loss)

    def _notes(self) -> tuple[str, ...]:
        notes, self.updater.notes = tuple(self.updater.notes), []
        return notes

    def _validated(self) -> tuple[EpochRow, bool]:
        """The row of the epoch so far, and whether it is the best."""
        tally = self.tally
        self._share_buffers()
        if not tally.is_finite:
            raise self.updater.diverged(self.step, self.rate, None)
        if (name := first_not_finite(self.model)) is not None:
            raise self.updater.diverged(self.step, self.rate, None, f"the weight {name}")
        val = Validation(math.nan, math.nan)
        if self.val_batches is not None:
            with self.kept_weights():
                self._share_buffers()  # of an average too
                val = self._measured(self.val_batches)
            if not math.isfinite(val.loss):
                raise self.updater.diverged(self.step, self.rate, None, "the validation loss")
        row = EpochRow(
            epoch=self.epoch,
            step=self.step,
            train_loss=tally.loss.item() / tally.steps,
            train_accuracy=tally.correct.item() / tally.seen,
            val_loss=val.loss,
            val_accuracy=val.accuracy,
            learning_rate=self.rate,
            seconds=round(tally.seconds, 4),
            images_per_second=round(tally.seen / tally.seconds, 1),
            val_mean_iu=val.mean_iu,
            val_robust_accuracy=val.robust_accuracy,
            val_macro_f1=val.macro_f1,
            val_balanced_accuracy=val.balanced_accuracy,
        )
        return row, self.val_batches is None or score_of(row, self.settings.monitor) > self.best_score

    def _measured(self, batches: Batches) -> Validation:
        """Validate; if memory runs out, restart with the batches in twice as many parts, from then on."""
        attacker = examiner_of(self.settings, self.updater.val_loss_fn)
        while True:
            parts, robust = InParts(batches, self.val_parts), None
            table = ConfusionTable(self.updater.rule.hits_fn, of_pictures=self.settings.monitor in OF_CLASSES)
            try:
                loss, accuracy = validate(self.model, parts, loss_fn=self.updater.val_loss_fn, hits_fn=table, group=self.group)
                if attacker is not None:
                    robust = robust_accuracy(self.model, parts, attacker, seed=self.settings.seed, group=self.group)
                monitored = {name: getattr(table, name) for name in OF_CLASSES if name == self.settings.monitor}
                return Validation(loss, accuracy, table.mean_iu, robust, **monitored)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._divide_validation(parts.largest)  # outside the handler, so that the failed tensors are let go first

    def _divide_validation(self, largest: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.val_parts >= largest:
            message = f"out of memory in the validation after step {self.step}, even with one picture at a time"
            raise EnvironmentFault(message, "Train with smaller pictures (`image_size`) or a smaller network.")
        self.val_parts *= 2
        self.updater.notes.append(f"out of memory in the validation: its batches are now computed in {self.val_parts} parts")

    def _share_buffers(self) -> None:
        """Copy the first process's batch-norm statistics to the others: those that are validated and kept."""
        if self.group is not None:
            self.group.take_from_first(self.model.buffers())

    def _average_epoch(self) -> None:
        """Add the end of the epoch to an equal average, and recompute the statistics of its norms."""
        start = self.settings.swa_start
        if self.average is None or self.settings.ema is not None or start is None or self.step < start * self.num_steps:
            return
        self.average.update()
        with self.average.applied():
            refresh_norms(self.model, itertools.islice(self.train_batches.epoch(self.epoch), REFRESH_BATCHES))
            self.average.keep_buffers()

    def _next_epoch(self, row: EpochRow, is_best: bool) -> None:
        score = score_of(row, self.settings.monitor)
        if self.val_batches is None or score[0] > self.best_score[0]:
            self.gained_epoch = self.epoch
        if is_best:
            self.best_score, self.best_epoch = score, self.epoch
        self.updater.schedule.observe(row.val_loss)
        patience, at_end = self.settings.patience, self.step == self.num_steps
        self.stopped_early = not at_end and patience is not None and self.epoch - self.gained_epoch >= patience
        self.done = at_end or self.stopped_early
        self.epoch += 1
        self.tally = Tally(self.device)


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


def validate(
    model: nn.Module,
    batches: Batches,
    *,
    loss_fn: Loss | None = None,
    hits_fn: Loss | None = None,
    group: ProcessGroup | None = None,
) -> tuple[float, float]:
    """Mean loss (without others: cross-entropy in nats) and accuracy over `batches`, in float32 and evaluation mode.

    The processes of a `group` have a part of the batches each, and all get the result for the whole.
    """
    loss_fn, hits_fn = loss_fn or F.cross_entropy, hits_fn or hits_of_classes
    loss, correct, seen = 0.0, 0.0, 0
    with torch.inference_mode(), evaluation_mode(model):
        for batch in batches.epoch(1):
            if not len(batch.labels):
                continue  # a part of a batch that is too small to be divided
            outputs = model(batch.images)  # (N, K)
            loss += float(loss_fn(outputs, batch.labels)) * len(batch.labels)
            correct += float(hits_fn(outputs, batch.labels))
            seen += len(batch.labels)
    if group is not None:
        loss, correct, seen = group.sum(torch.tensor([loss, correct, seen], dtype=torch.float64)).tolist()
        if isinstance(hits_fn, ConfusionTable):
            hits_fn.share(group)
    return loss / seen, correct / seen
