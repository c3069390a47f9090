"""Locating the cause of a failed step: the layer at which numbers stopped being finite."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.core.errors import NumericError, UsageError
from striate.engine.step import Batch

REMEDY = "Train with a smaller `learning_rate`, with `max_grad_norm=1`, or with `precision='float32'`."
ONE_VALUE = "more than 1 value per channel"  # in what torch's norms say


class TrainingDivergedError(NumericError):
    """A training met NaN or Inf.

    Attributes:
        step: The update at which it happened, from 1.
        part: The path of the part of the network at which it shows first; empty if none can be named.
        batch: The batch of that update, if it is known.
    """

    def __init__(self, message: str, remedy: str, *, step: int, part: str, batch: Batch | None) -> None:
        super().__init__(message, remedy)
        self.step, self.part, self.batch = step, part, batch


def divergence(
    model: nn.Module,
    compute: Callable[[Batch], object],
    step: int,
    rate: float,
    *,
    batch: Batch | None,
    previous: Batch | None,
    what: str = "the loss",
) -> TrainingDivergedError:
    """The error for NaN or Inf, which names the part of the network and carries the batch that did it.

    Args:
        model: What was trained.
        compute: Runs the model once on a batch, as the step did.
        step: The update at which it showed.
        rate: The learning rate of that update.
        batch: The batch of that update if its loss was not finite, so that it was not used; None after a whole update.
        previous: The last batch that was used, if it is known.
        what: What is not finite.
    """
    weight = first_not_finite(model, buffers=batch is None)
    part, where = "", ""
    if weight is not None:
        what, part = f"the weight {weight}", weight.rpartition(".")[0]
        if batch is not None and previous is not None:  # the update before it did it
            step -= 1
        batch = previous if previous is not None else batch
    elif batch is not None:
        part = first_part_not_finite(model, lambda: compute(batch))
        pictures_bad = batch.images.is_floating_point() and not torch.isfinite(batch.images).all()
        where = f", first in {part}" if part else ": the pictures hold NaN or Inf" if pictures_bad else ""
    message = f"{what} is not finite at step {step} (learning rate {rate:g}){where}"
    return TrainingDivergedError(message, REMEDY, step=step, part=part, batch=batch)


def in_words(error: ValueError, step: int, size: int) -> ValueError | UsageError:
    """A batch norm's error on `size` pictures with one value per channel, in the user's words; other errors as they are."""
    if ONE_VALUE not in str(error):
        return error
    number = f"{size} picture{'s' if size > 1 else ''}"
    message = f"step {step}: with {number} at a time, a batch norm gets one value per channel, which has no variance"
    return UsageError(message, "Choose a larger `batch_size`, fewer parts (`accumulate`), or larger pictures.")


def first_not_finite(model: nn.Module, *, buffers: bool = True) -> str | None:
    """The name of a parameter or buffer that holds NaN or Inf: a saturated activation can hide one from every loss."""
    named = [*model.named_parameters(), *(model.named_buffers() if buffers else ())]
    return next((name for name, tensor in named if tensor.is_floating_point() and not torch.isfinite(tensor).all()), None)


def first_part_not_finite(model: nn.Module, compute: Callable[[], object]) -> str:
    """The path of the first part, in the order of computing, that gives NaN or Inf for finite inputs; empty if none does.

    Args:
        model: The model that `compute` runs.
        compute: Runs the model once, as the step did.
    """
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def after(_part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not found and all(map(_is_finite, inputs)) and not _is_finite(output):
                found.append(name)

        return after

    with contextlib.ExitStack() as stack, torch.no_grad(), contextlib.suppress(RuntimeError):
        for name, part in model.named_modules():
            if not any(part.children()):
                stack.callback(part.register_forward_hook(look(name)).remove)
        compute()
    return found[0] if found else ""


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    return all(map(_is_finite, value)) if isinstance(value, tuple | list) else True
