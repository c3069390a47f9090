"""The computation of each update of a training, from its settings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.core.devices import is_bfloat16_fast
from striate.core.errors import UsageError
from striate.engine.adversarial import attacker_of
from striate.engine.losses import hits_of, loss_of
from striate.engine.penalties import penalties_of
from striate.engine.processes import ProcessGroup, SharedGradient
from striate.engine.settings import TrainSettings
from striate.engine.step import StepRule


def rule_of(
    settings: TrainSettings,
    model: nn.Module,
    device: torch.device,
    *,
    class_counts: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> StepRule:
    """The computation of each update of a training with these settings.

    Raises:
        UsageError: norms over the whole batch, and the batch in parts.
    """
    if group is not None and settings.sync_norm and settings.accumulate > 1:
        message = (
            "sync_norm: a batch norm needs the whole batch before the next layer can run, but with accumulate the parts of a batch "
            "are computed one after the other"
        )
        raise UsageError(message, "Leave out one of them; more processes need less memory each, too.")
    loss_fn, autocast = loss_of(settings, class_counts=class_counts), precision_of(settings, device)
    penalties = penalties_of(settings, model)
    return StepRule(
        loss_fn=loss_fn,
        hits_fn=hits_of(settings),
        max_grad_norm=settings.max_grad_norm,
        autocast=autocast,
        stop_at_not_finite=device.type == "cpu",
        before_update=penalties.before_update if penalties else None,
        after_update=penalties.after_update if penalties else None,
        shared=SharedGradient(group, model, each_has_some=settings.sync_norm) if group is not None else None,
        attacker=attacker_of(settings, loss_fn, autocast),
    )


def precision_of(settings: TrainSettings, device: torch.device) -> torch.dtype | None:
    """The dtype to compute convolutions and products in, or None for float32."""
    fast = settings.precision == "auto" and is_bfloat16_fast(device)
    return torch.bfloat16 if fast or settings.precision == "bfloat16" else None
