"""The outputs of a network that does not give one class per picture: a record that data, models and exports share."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError

Task = Literal["classify", "regression", "multilabel", "segment", "restore"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TargetSpec:
    """The meaning of a network's outputs; it is stored in the model file.

    "multilabel": output k is the log-odds that label k is there. "regression": output k times `std` plus `mean` is the number k, in the
    user's units, so that the network itself learns numbers of mean 0 and deviation 1. "restore": outputs (K, H, W) are the channels of
    a picture, in units of a pixel's range; `effect` made the inputs of its training from the pictures themselves.
    """

    task: Literal["regression", "multilabel", "restore"]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    effect: str | None = None

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or (self.task != "regression") != (not self.mean):
            raise UsageError(f"{self.task} targets cannot have {len(self.mean)} means and {len(self.std)} deviations")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std, default=1) <= 0:
            raise UsageError(f"the mean of targets must be finite and std positive, got {self.mean} and {self.std}")


def task_of_outputs(shape: tuple[int, ...], targets: TargetSpec | None) -> Task:
    """The task of a network by the shape of its output, without the batch, and by what its outputs mean where they are no classes.

    A map of a single place, (K, 1, 1), is that of a classifier in fully convolutional form.
    """
    if targets is not None:
        return targets.task
    return "classify" if all(size == 1 for size in shape[1:]) else "segment"
