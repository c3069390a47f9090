"""The settings of a training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TrainSettings:
    """How to train; everything that decides the result, in one record."""

    epochs: Count = 10
    steps: Count | None = None  # exactly this many updates, instead of `epochs`
    batch_size: Count = 128
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = 0.1  # the peak of the schedule
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of sgd
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5e-4
    decay_all: bool = False  # decay biases and norms too
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    step_at: tuple[Share, ...] = (0.5, 0.75)  # of the updates after the warm-up: where the step schedule multiplies by `step_gamma`
    step_gamma: Positive = 0.1
    smoothing: Share = 0.0
    max_grad_norm: Positive | None = None
    patience: Count | None = None  # epochs without a better one, as validation has it, before stopping
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
