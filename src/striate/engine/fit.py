"""The loop: epochs of updates, each followed by a validation.

`fit` gives a `Training`, which yields an event after each update and after each epoch; saving, logging and drawing happen where it is
consumed, in the order written there. Between two events the training can be written down (`state`) and later be continued from there
(`load_state`), bit for bit: what is random depends on the seed, the epoch and the sample alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from striate.core.devices import choose_device
from striate.core.errors import DataError, UsageError, is_out_of_memory
from striate.core.modes import kept_modes
from striate.core.seeds import deterministic_algorithms, mixed, torch_seed
from striate.engine.accelerate import pool_before_activation, tune_allocator
from striate.engine.averaging import average_of, refresh_norms
from striate.engine.epochs import EpochRow, FitEvent, score_of
from striate.engine.failures import TrainingDivergedError, divergence, first_not_finite, in_words
from striate.engine.freezing import Freezer
from striate.engine.fused import fused_layers
from striate.engine.interrupt import StopRequest, stop_on_signals
from striate.engine.memory import more_parts, more_validation_parts
from striate.engine.optimizers import optimizer_of
from striate.engine.processes import ProcessGroup
from striate.engine.rules import rule_of
from striate.engine.schedules import schedule_of
from striate.engine.settings import TrainSettings
from striate.engine.shared_norms import norms_together
from striate.engine.side_by_side import SideBySide, can_be_divided, is_worth_dividing
from striate.engine.step import Batch, Batches, InParts, LossNotFiniteError, StepResult, computing_in, train_step
from striate.engine.tally import Tally
from striate.engine.validation import Validation, measured

REFRESH_BATCHES = 100  # from which the norms of an average of weights get their statistics
CHECK_EVERY = 20  # updates between looks at the loss on a device that computes on its own


def fit(
    model: nn.Module,
    train_batches: Batches,
    settings: TrainSettings,
    *,
    val_batches: Batches | None = None,
    class_counts: Tensor | None = None,
    group: ProcessGroup | None = None,
    counts_start: bool = False,
    divides: bool = False,
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
        counts_start: Validate the weights that the training begins with, too, as epoch 0: they are kept where no epoch is better.
        divides: On a CPU, each thread computes a part of a batch. The model must compute each sample by itself, but for its batch norms,
            and draw no random numbers but from `generator` of a module (`SideBySide`); the loss must be a mean over samples.

    Raises:
        TrainingDivergedError: the loss or a weight is NaN or Inf; names the update and the part of the network. The weights may be
            ruined; what was saved before is not.
        DataError: there are no training or no validation batches, or fewer come than there should be.
        UsageError: each parameter of the model is frozen.
    """
    return Training(model, train_batches, settings, val_batches, class_counts, group, counts_start=counts_start, divides=divides)


class Training:
    """A training in progress: an iterable of `FitEvent`, between which it can be saved and continued."""

    def __init__(
        self,
        model: nn.Module,
        train_batches: Batches,
        settings: TrainSettings,
        val_batches: Batches | None,
        class_counts: Tensor | None,
        group: ProcessGroup | None = None,
        *,
        counts_start: bool = False,
        divides: bool = False,
    ) -> None:
        self.model, self.settings, self.group, self.counts_start = model, settings, group, counts_start
        if group is not None:
            group.take_from_first([*model.parameters(), *model.buffers()])
        self.train_batches, self.val_batches = train_batches, val_batches
        self.device = choose_device(settings.device)
        self.num_steps = settings.steps or settings.epochs * len(train_batches)
        tune_allocator()
        if settings.channels_last:
            for weight in model.parameters():
                if weight.ndim == 4:  # convolutions of images; torch has another name for those of volumes
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.optimizer = optimizer_of(settings, model)
        if not self.optimizer.groups:
            raise UsageError("the network has no trainable parameters: all are frozen", "Freeze fewer parts.")
        self.schedule = schedule_of(settings, self.num_steps, len(train_batches))
        self.stepped = cast("nn.Module", torch.compile(model)) if settings.compile else model
        self.rule = rule_of(settings, model, self.device, class_counts=class_counts, group=group)
        self.fuses = self.device.type == "cpu" and not settings.compile
        threads = torch.get_num_threads()
        alone = self.fuses and group is None and self.rule.attacker is None and settings.accumulate == 1
        if divides and alone and is_worth_dividing(settings.batch_size, threads) and can_be_divided(model):
            self.rule = dataclasses.replace(self.rule, side_by_side=SideBySide(model, threads))
        self.freezer = Freezer(model, settings.freeze, settings.unfreeze_every)
        self.average = average_of(settings, model)
        self.step, self.epoch = 0, 1  # updates done; the epoch under way
        self.tally = Tally(self.device)
        self.best_score, self.best_epoch = (-math.inf, -math.inf), 0
        self.gained_epoch = 0  # the last in which the monitored measure was better than ever before
        self.stopped_early = False
        self.rate = math.nan  # of the last update
        self.parts, self.val_parts = settings.accumulate, 1  # in which a batch is computed, of the training and of the validation
        self.notes: list[str] = []
        self.previous: Batch | None = None  # of the last update, on a processor
        self.done = False
        self._events = self._run()

    def __iter__(self) -> Generator[FitEvent]:
        return self._events

    def close(self) -> None:
        """End the training early: modes, signals and parts are restored."""
        self._events.close()

    def kept_weights(self) -> contextlib.AbstractContextManager[None]:
        """Context in which the model holds the weights that are validated and kept: the averaged ones, if there is an average."""
        return self.average.applied() if self.average is not None else contextlib.nullcontext()

    # ---- writing down and continuing

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of the training as it is now, by file; not copies."""
        files = {"model": dict(self.model.state_dict()), "optimizer": self.optimizer.state()}
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
            "update": {"parts": self.parts, "schedule": self.schedule.state()},
            "val_parts": self.val_parts,
        }

    def load_state(self, state: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> None:
        """Restore a state from `state` and `tensors`; call it before the first event."""
        self.model.load_state_dict(tensors["model"])
        self.optimizer.load_state(tensors["optimizer"])
        if self.average is not None:
            self.average.load_state(tensors["average"])
        self.parts = int(state["update"]["parts"])
        self.schedule.load_state(state["update"]["schedule"])
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
        """Epoch by epoch: its remaining updates, until a signal asks to stop, and a validation."""
        with self._prepared() as stop:
            if not self.done and (self.num_steps == 0 or (self.counts_start and self.step == 0 and math.isinf(self.best_score[0]))):
                yield self._begun()
            while not self.done:
                self.freezer.begin(self.epoch)
                steps_in_epoch = min(len(self.train_batches), self.num_steps - self.step + self.tally.steps)
                started = time.perf_counter() - self.tally.seconds
                for batch in self._remaining(steps_in_epoch):
                    result = self.update(batch)
                    self._count(result)
                    self.tally.seconds = time.perf_counter() - started
                    yield self._event(steps_in_epoch, loss=result.loss)
                    if self._is_asked(stop) or self.tally.steps == steps_in_epoch:
                        break
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

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[StopRequest]:
        """Context of all events: what they change about the model and the process is as before on leaving; signals ask to stop."""
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
            if self.fuses:
                layers = stack.enter_context(fused_layers(self.model))
                if self.rule.side_by_side is not None:
                    stack.enter_context(self.rule.side_by_side.prepared(layers))
            if self.settings.deterministic:
                stack.enter_context(deterministic_algorithms())
            if not self.model.training:
                self.model.train()
            yield stop

    def _remaining(self, steps_in_epoch: int) -> Iterator[Batch]:
        """The batches of the epoch that are still to come."""
        if self.tally.steps < steps_in_epoch:
            yield from self.train_batches.epoch(self.epoch, self.tally.steps)
            raise DataError(f"epoch {self.epoch} has {self.tally.steps} batches, but {len(self.train_batches)} were announced")

    # ---- one update

    def update(self, batch: Batch) -> StepResult:
        """Update the model on `batch`. What is random in it, such as dropout, depends on the seed and the number of the update alone.

        Where memory runs out, the batch is computed in twice as many parts, from then on; `notes` says so.

        Raises:
            TrainingDivergedError: the loss is NaN or Inf, on a processor; on other devices it is looked at now and then.
            EnvironmentFault: there is too little memory, however small the parts.
        """
        step, size, self.rate = self.step + 1, len(batch.labels), self.settings.learning_rate * self.schedule(self.step)
        randomness = partial(torch_seed, self._seed(step), self.device)
        while True:
            try:
                parts = max(1, min(self.parts, size))
                result = train_step(self.stepped, batch, self.optimizer, self.rule, self.rate, parts=parts, randomness=randomness)
                break
            except LossNotFiniteError:
                raise self._diverged(step, batch) from None
            except ValueError as error:
                raise in_words(error, step, -(-size // max(1, self.parts))) from None
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._free_memory()  # outside the handler, so that the failed step's tensors are let go first
            whole = self.rule.shared is not None and self.settings.sync_norm
            self.parts, note = more_parts(self.parts, size, step, needs_whole_batch=whole)
            self.notes.append(note)
        self.step, self.previous = step, batch if self.device.type == "cpu" else None
        return result

    def _seed(self, step: int) -> int:
        """The seed of a step's random numbers: each process draws for its own pictures."""
        ranks = (self.group.rank,) if self.group is not None and self.group.rank else ()
        return mixed(self.settings.seed, step, *ranks)

    def _free_memory(self) -> None:
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _diverged(self, step: int, batch: Batch | None = None, what: str = "the loss") -> TrainingDivergedError:
        """The error for NaN or Inf, of the loss of `batch`, which was not used, or after the update."""

        def compute(batch: Batch) -> Any:
            with (
                torch_seed(self._seed(step), self.device),
                computing_in(self.rule.autocast, self.device),
                contextlib.suppress(RuntimeError),
            ):
                return self.model(batch.images)

        return divergence(self.model, compute, step, self.rate, batch=batch, previous=self.previous, what=what)

    def _count(self, result: StepResult) -> None:
        """Count an update in the epoch's sums and in an average of each update's weights."""
        self.tally.add(result)
        if self.settings.ema is not None and self.average is not None:
            self.average.update()
        if self.device.type != "cpu" and self.step % CHECK_EVERY == 0 and not self.tally.is_finite:
            raise self._diverged(self.step)

    # ---- after an epoch

    def _is_asked(self, stop: StopRequest) -> bool:
        """Return whether the training should stop; a signal to one process stops all."""
        return stop.asked if self.group is None else self.group.any(stop.asked)

    def _event(self, steps_in_epoch: int, *, interrupted: bool = False, loss: Tensor | None = None) -> FitEvent:
        return FitEvent(self.epoch, self.step, self.tally.steps, steps_in_epoch, interrupted=interrupted, notes=self._notes(), loss=loss)

    def _notes(self) -> tuple[str, ...]:
        notes, self.notes = tuple(self.notes), []
        return notes

    def _begun(self) -> FitEvent:
        """The event before the first update, the only one where there is none: what it begins with is validated, as after an epoch 0."""
        self.epoch = 0
        row, is_best = self._validated()
        self._next_epoch(row, is_best)
        return FitEvent(row.epoch, self.step, 0, 0, row, is_best, notes=self._notes())

    def _validated(self) -> tuple[EpochRow, bool]:
        """The row of the epoch so far, and whether it is the best."""
        tally = self.tally
        self._share_buffers()
        if not tally.is_finite:
            raise self._diverged(self.step)
        if (name := first_not_finite(self.model)) is not None:
            raise self._diverged(self.step, what=f"the weight {name}")
        val = Validation()
        if self.val_batches is not None:
            with self.kept_weights():
                self._share_buffers()  # of an average too
                val = self._measured(self.val_batches)
            if not math.isfinite(val.loss):
                raise self._diverged(self.step, what="the validation loss")
        row = EpochRow(
            epoch=self.epoch,
            step=self.step,
            train_loss=tally.loss.item() / (tally.steps or math.nan),
            train_accuracy=tally.correct.item() / (tally.seen or math.nan),
            val_loss=val.loss,
            val_accuracy=val.accuracy,
            learning_rate=self.rate,
            seconds=round(tally.seconds, 4),
            images_per_second=round(tally.seen / tally.seconds, 1) if tally.seen else 0.0,
            val_mean_iu=val.mean_iu,
            val_robust_accuracy=val.robust_accuracy,
            val_macro_f1=val.macro_f1,
            val_balanced_accuracy=val.balanced_accuracy,
            val_auxiliary_accuracy=val.auxiliary_accuracy,
        )
        return row, self.val_batches is None or score_of(row, self.settings.monitor) > self.best_score

    def _measured(self, batches: Batches) -> Validation:
        """Validate; if memory runs out, restart with the batches in twice as many parts, from then on."""
        while True:
            parts = InParts(batches, self.val_parts)
            try:
                return measured(self.model, parts, self.settings, self.group)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._free_memory()  # outside the handler, so that the failed tensors are let go first
            self.val_parts, note = more_validation_parts(self.val_parts, parts.largest, self.step)
            self.notes.append(note)

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
        self.schedule.observe(row.val_loss)
        patience, at_end = self.settings.patience, self.step == self.num_steps
        self.stopped_early = not at_end and patience is not None and self.epoch - self.gained_epoch >= patience
        self.done = at_end or self.stopped_early
        self.epoch += 1
        self.tally = Tally(self.device)
