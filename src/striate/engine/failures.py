"""Locating the cause of a failed step: the layer at which numbers stopped being finite."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.core.errors import NumericError
from striate.engine.step import Batch


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


def first_not_finite(model: nn.Module, *, buffers: bool = True) -> str | None:
    """The name of a parameter or buffer that holds NaN or Inf: a saturated activation can hide one from every loss."""
    named = [*model.named_parameters(), *(model.named_buffers() if buffers else ())]
    return next((name for name, tensor in named if tensor.is_floating_point() and not torch.isfinite(tensor).all()), None)


def first_part_not_finite(model: nn.Module, compute: Callable[[], Any]) -> str:
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

    with contextlib.ExitStack() as stack, torch.no_grad():
        for name, part in model.named_modules():
            if not any(part.children()):
                stack.callback(part.register_forward_hook(look(name)).remove)
        compute()
    return found[0] if found else ""


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    return all(map(_is_finite, value)) if isinstance(value, tuple | list) else True
