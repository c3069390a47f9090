"""One update."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from striate.engine.optimizers import Optimizer

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> (), mean over the batch


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


def hits_of_classes(outputs: Tensor, labels: Tensor) -> Tensor:
    """(), how many of a batch are right, where `outputs` (N, K) are scores of classes."""
    if labels.is_floating_point():
        labels = labels.argmax(1)  # (N,)
    return (outputs.argmax(1) == labels).sum()


class LossNotFiniteError(ArithmeticError):
    """The loss of a batch is NaN or Inf; nothing was updated."""


def train_step(
    model: nn.Module,
    batch: Batch,
    optimizer: Optimizer,
    *,
    loss_fn: Loss,
    learning_rate: float,
    hits_fn: Loss = hits_of_classes,
    max_grad_norm: float | None = None,
    autocast: torch.dtype | None = None,
    parts: int = 1,
    before_update: Callable[[], None] | None = None,
    randomness: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    stop_at_not_finite: bool = False,
) -> StepResult:
    """Update `model` in place on one batch. Its mode (training or evaluation) is left as it is.

    A model with `forward_with_heads` and `head_weights` trains on loss + sum of weight_i times the loss of head i.

    Args:
        model: Maps `batch.images` to outputs.
        batch: One batch.
        optimizer: Updates the weights.
        loss_fn: Mean loss of outputs and targets.
        hits_fn: How many of outputs are right, by their targets.
        learning_rate: Of this update.
        max_grad_norm: L2 norm over all parameters that the gradient is cut to.
        autocast: The dtype of convolutions and products; None for that of the weights.
        parts: The batch is computed in so many parts, one after the other, to need less memory. The gradient is that of the mean over
            the whole batch; batch normalization sees the parts.
        before_update: Called between the gradient and the update, before clipping.
        randomness: What each computation of the gradient runs in.
        stop_at_not_finite: Wait for the loss, and update nothing when it is NaN or Inf.

    Raises:
        LossNotFiniteError: it is, with `stop_at_not_finite`.
    """
    first: list[tuple[Tensor, Tensor]] = []  # an optimizer may compute the gradient again and again

    def compute_gradient() -> Tensor:
        optimizer.zero_grad()
        with randomness():
            loss, correct = _gradient(model, batch, loss_fn, hits_fn, autocast, parts, stop_at_not_finite)
        first.append((loss, correct))
        if before_update is not None:
            before_update()
        return loss

    grad_norm = None
    if optimizer.needs_closure:
        optimizer.step(learning_rate, closure=compute_gradient)
    else:
        compute_gradient()
        if max_grad_norm is not None:
            grad_norm = nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step(learning_rate)
    return StepResult(*first[0], grad_norm)


def _gradient(
    model: nn.Module, batch: Batch, loss_fn: Loss, hits_fn: Loss, autocast: torch.dtype | None, parts: int, stop_at_not_finite: bool
) -> tuple[Tensor, Tensor]:
    """Add the gradient of the batch's mean loss to the parameters; gives that loss and the number of hits."""
    losses, hits = [], []
    for images, labels, share in _parts(batch, parts):
        loss, outputs = _loss(model, images, labels, loss_fn, autocast)
        if stop_at_not_finite and not torch.isfinite(loss):
            raise LossNotFiniteError
        scaled = loss if share == 1 else loss * share
        scaled.backward()  # type: ignore[no-untyped-call]
        losses.append(scaled.detach())
        hits.append(hits_fn(outputs.detach(), labels))
    return (losses[0], hits[0]) if parts == 1 else (torch.stack(losses).sum(), torch.stack(hits).sum())


def _parts(batch: Batch, parts: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """The images, the targets and the share of the batch of each part."""
    if parts == 1:
        yield batch.images, batch.labels, 1.0
        return
    for images, labels in zip(batch.images.tensor_split(parts), batch.labels.tensor_split(parts), strict=True):
        if len(labels):
            yield images, labels, len(labels) / len(batch.labels)


def _loss(model: nn.Module, images: Tensor, labels: Tensor, loss_fn: Loss, autocast: torch.dtype | None) -> tuple[Tensor, Tensor]:
    """The loss, auxiliary heads included, and the outputs of the model itself."""
    heads: tuple[Tensor, ...] = ()
    weights: tuple[float, ...] = ()
    with torch.autocast(images.device.type, autocast or torch.bfloat16, enabled=autocast is not None):
        if hasattr(model, "forward_with_heads"):
            outputs, heads = cast("Any", model).forward_with_heads(images)  # (N, K), each (N, K)
            weights = cast("Any", model).head_weights
        else:
            outputs = model(images)  # (N, K)
    loss = loss_fn(outputs.float() if autocast else outputs, labels)
    for weight, head in zip(weights, heads, strict=True):
        loss = loss + weight * loss_fn(head.float() if autocast else head, labels)
    return loss, outputs
