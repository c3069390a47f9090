"""The samples of a probe, and the findings from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from pydantic.dataclasses import dataclass

from striate.core.images import Kind as SampleKind
from striate.core.images import of_kind

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    "not_finite",
    "symmetric_units",
    "learning_rate_too_high",
    "learning_rate_too_low",
    "uneven_updates",
    "dead_relu",
    "saturated",
    "constant_units",
    "vanishing_gradient",
    "exploding_gradient",
    "input_scale",
    "frozen_at_random",
    "regularisation_too_strong",
    "batch_norm_unsettled",
    "batch_norm_drift",
    "leak",
    "val_differs",
    "label_noise",
    "rare_classes",
    "overfitting",
    "underfitting",
    "loader_bound",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class LayerSample:
    """One part of a network during one update; None if a part has no such number."""

    path: str
    finite: bool = True  # its output
    signal: float | None = None  # of a layer with weights: |dL_n/d output_n|, root mean square over the samples n, L_n their own loss
    update_ratio: float | None = None  # |change of the weights| / |weights|, L2
    alike: float | None = None  # share of units whose weights and bias equal another unit's
    constant: float | None = None  # share of units with the same output at every place of every sample
    dead: float | None = None  # of a ReLU: share of units that were positive nowhere in the last samples
    saturated: float | None = None  # of a sigmoid or tanh: share of outputs within 1 % of the range's ends
    drift: float | None = None  # of a batch norm: nats from the batch's statistics to the running ones, the median channel


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample of one update; the layers in the order in which they ran."""

    step: int  # updates since the start, this one counted
    layers: tuple[LayerSample, ...]
    learning_rate: float | None = None  # that the schedule has at its peak
    loss: float | None = None  # nats
    wait_share: float | None = None  # of the time of the update: from the end of the one before until the model began to compute


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem, or a note."""

    kind: Kind
    severity: Severity = "warning"
    where: str = ""  # path of a part; empty for the training as a whole
    evidence: float
    unit: str  # of the evidence
    message: str  # the evidence in a sentence
    cause: str
    remedy: str  # one thing to try
    consequences: tuple[Kind, ...] = ()  # other kinds that were seen too, and that this one explains
    picture: str | None = None  # file name in the report

    def of_kind(self, kind: SampleKind) -> Finding:
        """The finding in the words for samples of a kind, for which "pictures" stands in its texts."""
        unit, message, cause, remedy = (of_kind(text, kind) for text in (self.unit, self.message, self.cause, self.remedy))
        return replace(self, unit=unit, message=message, cause=cause, remedy=remedy)

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        return f"{self.kind.replace('_', ' ')}{place}: {self.message}. {self.cause} Try: {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """A finding reported during training that the complete record does not confirm."""

    kind: Kind
    reason: str
