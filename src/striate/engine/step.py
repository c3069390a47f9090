"""One update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from striate.engine.optimizers import Optimizer


class Batch(Protocol):
    """What the engine needs of a batch."""

    @property
    def images(self) -> Tensor:
        """(N, ...) as the model takes them."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, or (N, K) float class shares."""


class StepResult(NamedTuple):
    """What one update tells. Tensors stay on the device: the caller chooses when to wait for them."""

    loss: Tensor  # (), mean over the batch, auxiliary heads included, nats
    correct: Tensor  # (), how many of the batch the model had right before the update
    grad_norm: Tensor | None  # (), L2 over all parameters, before clipping; None when nothing is clipped


def train_step(
    model: nn.Module,
    batch: Batch,
    optimizer: Optimizer,
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    learning_rate: float,
    max_grad_norm: float | None = None,
    autocast: torch.dtype | None = None,
) -> StepResult:
    """Update `model` in place on one batch. Its mode (training or evaluation) is left as it is.

    A model with `forward_with_heads` and `head_weights` trains on loss + sum of weight_i times the loss of head i.
    """
    device = batch.images.device.type
    heads: tuple[Tensor, ...] = ()
    weights: tuple[float, ...] = ()
    with torch.autocast(device, autocast or torch.bfloat16, enabled=autocast is not None):
        if hasattr(model, "forward_with_heads"):
            logits, heads = cast("Any", model).forward_with_heads(batch.images)  # (N, K), each (N, K)
            weights = cast("Any", model).head_weights
        else:
            logits = model(batch.images)  # (N, K)
    loss = loss_fn(logits.float() if autocast else logits, batch.labels)
    for weight, head in zip(weights, heads, strict=True):
        loss = loss + weight * loss_fn(head.float() if autocast else head, batch.labels)

    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    grad_norm = None
    if max_grad_norm is not None:
        grad_norm = nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step(learning_rate)
    labels = batch.labels.argmax(1) if batch.labels.is_floating_point() else batch.labels  # (N,)
    correct = (logits.detach().argmax(1) == labels).sum()
    return StepResult(loss.detach(), correct, grad_norm)
