"""Applies one optimizer update on a batch, with all that the settings say about it."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from striate.core.devices import is_bfloat16_fast
from striate.core.errors import EnvironmentFault, UsageError, is_out_of_memory
from striate.core.seeds import mixed, torch_seed
from striate.engine.accelerate import tune_allocator
from striate.engine.adversarial import attacker_of
from striate.engine.failures import TrainingDivergedError, first_not_finite, first_part_not_finite
from striate.engine.losses import hits_of, loss_of, plain_loss_of
from striate.engine.optimizers import optimizer_of
from striate.engine.penalties import penalties_of
from striate.engine.processes import ProcessGroup, SharedGradient
from striate.engine.schedules import schedule_of
from striate.engine.settings import TrainSettings
from striate.engine.step import Batch, LossNotFiniteError, StepResult, StepRule, train_step

ONE_VALUE = "more than 1 value per channel"  # in what torch's norms say
REMEDY = "Train with a smaller `learning_rate`, with `max_grad_norm=1`, or with `precision='float32'`."


def precision_of(settings: TrainSettings, device: torch.device) -> torch.dtype | None:
    """The dtype to compute convolutions and products in, or None for float32."""
    fast = settings.precision == "auto" and is_bfloat16_fast(device)
    return torch.bfloat16 if fast or settings.precision == "bfloat16" else None


class Updater:
    """Updates `model` on a batch as step t (from 1). What is random in the step, such as dropout, depends on the seed and t alone.

    Where memory runs out, the batch is computed in twice as many parts, from then on; `notes` says so.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainSettings,
        device: torch.device,
        *,
        num_steps: int,
        steps_per_epoch: int,
        class_counts: Tensor | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        tune_allocator()
        if settings.channels_last:
            for weight in model.parameters():
                if weight.ndim == 4:  # convolutions of images; torch has another name for those of volumes
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.model, self.settings, self.device = model, settings, device
        self.rank = group.rank if group is not None else 0
        self.optimizer = optimizer_of(settings, model)
        if not self.optimizer.groups:
            raise UsageError("the network has no trainable parameters: all are frozen", "Freeze fewer parts.")
        self.schedule = schedule_of(settings, num_steps, steps_per_epoch)
        self.stepped = cast("nn.Module", torch.compile(model)) if settings.compile else model
        self.penalties = penalties_of(settings, model)
        loss_fn, autocast = loss_of(settings, class_counts=class_counts), precision_of(settings, device)
        self.rule = StepRule(
            loss_fn=loss_fn,
            hits_fn=hits_of(settings),
            max_grad_norm=settings.max_grad_norm,
            autocast=autocast,
            stop_at_not_finite=device.type == "cpu",
            before_update=self.penalties.before_update if self.penalties else None,
            shared=SharedGradient(group, model, each_has_some=settings.sync_norm) if group is not None else None,
            attacker=attacker_of(settings, loss_fn, autocast),
        )
        if group is not None and settings.sync_norm and settings.accumulate > 1:
            message = (
                "sync_norm: a batch norm needs the whole batch before the next layer can run, but with accumulate the parts of a batch "
                "are computed one after the other"
            )
            raise UsageError(message, "Leave out one of them; more processes need less memory each, too.")
        self.val_loss_fn = plain_loss_of(settings)
        self.parts = settings.accumulate
        self.notes: list[str] = []
        self.previous: Batch | None = None

    def __call__(self, batch: Batch, step: int) -> tuple[StepResult, float]:
        """The result of the update, and its learning rate.

        Raises:
            TrainingDivergedError: the loss is NaN or Inf, on a processor; on other devices the caller looks now and then.
            EnvironmentFault: there is too little memory, however small the parts.
        """
        rate = self.settings.learning_rate * self.schedule(step - 1)
        while True:
            try:
                result = self._update(batch, step, rate)
                break
            except LossNotFiniteError:
                raise self.diverged(step, rate, batch) from None
            except ValueError as error:
                if ONE_VALUE not in str(error):
                    raise
                each = -(-len(batch.labels) // max(1, self.parts))
                number = f"{each} picture{'s' if each > 1 else ''}"
                message = f"step {step}: with {number} at a time, a batch norm gets one value per channel, which has no variance"
                raise UsageError(message, "Choose a larger `batch_size`, fewer parts (`accumulate`), or larger pictures.") from None
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._divide(batch, step)  # outside the handler, so that the failed step's tensors are let go first
        self.previous = batch
        return result, rate

    def _update(self, batch: Batch, step: int, rate: float) -> StepResult:
        result = train_step(
            self.stepped,
            batch,
            self.optimizer,
            self.rule,
            rate,
            parts=max(1, min(self.parts, len(batch.labels))),
            randomness=partial(torch_seed, self._seed(step), self.device),
        )
        if self.penalties is not None:
            self.penalties.after_update()
        return result

    def _seed(self, step: int) -> int:
        """The seed of a step's random numbers: each process draws for its own pictures."""
        return mixed(self.settings.seed, step, self.rank) if self.rank else mixed(self.settings.seed, step)

    def _divide(self, batch: Batch, step: int) -> None:
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        size = len(batch.labels)
        if self.rule.shared is not None and self.settings.sync_norm:
            message = f"out of memory at step {step}: batch norms over the whole batch (sync_norm) need all of it at once"
            raise EnvironmentFault(message, "Train with a smaller `batch_size`, or with more processes.")
        if self.parts * 2 > max(1, size // 2):
            message = f"out of memory at step {step}, even in parts of {-(-size // self.parts)} pictures"
            raise EnvironmentFault(message, "Train with smaller pictures (`image_size`) or a smaller network.")
        self.parts *= 2
        each = -(-size // self.parts)
        self.notes.append(
            f"out of memory at step {step}: batches of {size} are now computed in {self.parts} parts of {each}, with the same update"
        )

    def diverged(self, step: int, rate: float, batch: Batch | None, what: str = "the loss") -> TrainingDivergedError:
        """The error for NaN or Inf at `step`: names the part of the network and carries the batch."""
        weight = first_not_finite(self.model, buffers=batch is None)
        part, where = "", ""
        if weight is not None:
            what, part = f"the weight {weight}", weight.rpartition(".")[0]
            if batch is None and self.device.type == "cpu":  # found after an update, of which the loss was finite
                batch = self.previous
            elif batch is not None and self.previous is not None:  # this batch was not used: the update before it did it
                step, batch = step - 1, self.previous
        elif batch is not None:
            part = first_part_not_finite(self.model, partial(self._forward, batch, step))
            pictures_bad = batch.images.is_floating_point() and not torch.isfinite(batch.images).all()
            where = f", first in {part}" if part else ": the pictures hold NaN or Inf" if pictures_bad else ""
        message = f"{what} is not finite at step {step} (learning rate {rate:g}){where}"
        return TrainingDivergedError(message, REMEDY, step=step, part=part, batch=batch)

    def _forward(self, batch: Batch, step: int) -> Any:
        cast_products = torch.autocast(self.device.type, self.rule.autocast or torch.bfloat16, enabled=self.rule.autocast is not None)
        with torch_seed(self._seed(step), self.device), cast_products, contextlib.suppress(RuntimeError):
            return self.model(batch.images)

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint besides tensors: plain numbers."""
        return {"parts": self.parts, "schedule": self.schedule.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state from `state`."""
        self.parts = int(state["parts"])
        self.schedule.load_state(state["schedule"])
