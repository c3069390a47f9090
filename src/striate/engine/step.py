"""One update."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.engine.optimizers import Optimizer
from striate.engine.side_by_side import SideBySide

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> (), mean over the batch
Scaled = Callable[[float], tuple[Tensor, Tensor]]  # a factor of the loss -> the loss times it, and the hits; adds to the gradients
Shared = Callable[[Scaled, int], tuple[Tensor, Tensor, int]]  # (gradient, pictures of the part) -> loss, hits, pictures of the batch


class Batch(Protocol):
    """The interface of a batch."""

    @property
    def images(self) -> Tensor:
        """(N, ...) as the model takes them."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, or (N, K) float class shares."""


class Batches(Protocol):
    """The interface of a training set: a fixed number of batches per epoch, in an order that the epoch determines."""

    def __len__(self) -> int:
        """Batches per epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch`, counted from 1, from batch `start`, counted from 0."""


class Part(NamedTuple):
    """A part of a batch."""

    images: Tensor
    labels: Tensor
    weights: Tensor | None = None
    second: Tensor | None = None  # labels of a second task


class InParts:
    """The batches of `batches`, each in `parts` parts."""

    def __init__(self, batches: Batches, parts: int) -> None:
        self.batches, self.parts = batches, parts
        self.largest = 0  # pictures of a batch, of those that came

    def __len__(self) -> int:
        return len(self.batches) * self.parts

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The parts of the batches from `start` on."""
        for batch in self.batches.epoch(epoch, start):
            self.largest = max(self.largest, len(batch.labels))
            for part, _ in parts_of(batch, self.parts):
                yield part


class StepResult(NamedTuple):
    """The result of one update. Tensors stay on the device: the caller chooses when to wait for them."""

    loss: Tensor  # (), mean over the batch, auxiliary heads included, nats
    correct: Tensor  # (), how many of the batch the model had right before the update
    grad_norm: Tensor | None  # (), L2 over all parameters, before clipping; None when nothing is clipped
    num_images: int  # of the whole batch, over all processes


def hits_of_classes(outputs: Tensor, labels: Tensor) -> Tensor:
    """() the number of correct predictions in a batch, if `outputs` (N, K) are class scores."""
    if labels.is_floating_point():
        labels = labels.argmax(1)  # (N,)
    return (outputs.argmax(1) == labels).sum()


class LossNotFiniteError(ArithmeticError):
    """The loss of a batch is NaN or Inf; nothing was updated."""


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """Options of an update; the same throughout a training.

    Attributes:
        loss_fn: Mean loss of outputs and targets.
        hits_fn: The number of correct outputs, by their targets.
        max_grad_norm: L2 norm over all parameters that the gradient is cut to.
        autocast: The dtype of convolutions and products; None for that of the weights.
        stop_at_not_finite: Wait for the loss, and update nothing when it is NaN or Inf.
        before_update: Called between the gradient and the update, after the gradient was cut.
        after_update: Called after the update.
        shared: Makes the gradient of one process's part that of the whole batch; None if one process has it all.
        attacker: Changes the images of a part, by its targets, before they are learned from; None learns from them as they are.
        side_by_side: Computes parts of a batch at once; None computes the batch as a whole.
    """

    loss_fn: Loss
    hits_fn: Loss = hits_of_classes
    max_grad_norm: float | None = None
    autocast: torch.dtype | None = None
    stop_at_not_finite: bool = False
    before_update: Callable[[], None] | None = None
    after_update: Callable[[], None] | None = None
    shared: Shared | None = None
    attacker: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None
    side_by_side: SideBySide | None = None


def train_step(
    model: nn.Module,
    batch: Batch,
    optimizer: Optimizer,
    rule: StepRule,
    learning_rate: float,
    *,
    parts: int = 1,
    randomness: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> StepResult:
    """Update `model` in place on one batch. Its mode (training or evaluation) is left as it is.

    A model with `forward_with_heads` trains on loss + sum of weight_i times the loss of head i: that of the model, or cross-entropy
    where the head has a task of its own.

    Args:
        model: Maps `batch.images` to outputs.
        batch: One batch.
        optimizer: Updates the weights.
        rule: The options of the update.
        learning_rate: Of this update.
        parts: The batch is computed in so many parts, one after the other, to need less memory. The gradient is that of the mean over
            the whole batch; batch normalization sees the parts.
        randomness: The context in which each gradient is computed.

    Raises:
        LossNotFiniteError: the loss is NaN or Inf, and `rule` stops at that; nothing is updated.
    """
    first: list[tuple[Tensor, Tensor, int]] = []  # an optimizer may compute the gradient again and again
    norms: list[Tensor] = []

    def compute_gradient() -> Tensor:
        optimizer.zero_grad()
        with randomness():
            if rule.shared is None:
                loss, correct = _gradient(model, batch, rule, parts)
                number = len(batch.labels)
            else:
                loss, correct, number = rule.shared(lambda factor: _gradient(model, batch, rule, parts, factor), len(batch.labels))
        first.append((loss, correct, number))
        if rule.max_grad_norm is not None:
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), rule.max_grad_norm))
        if rule.before_update is not None:
            rule.before_update()
        return loss

    if optimizer.needs_closure:
        optimizer.step(learning_rate, closure=compute_gradient)
    else:
        compute_gradient()
        optimizer.step(learning_rate)
    if rule.after_update is not None:
        rule.after_update()
    loss, correct, number = first[0]
    return StepResult(loss, correct, norms[0] if norms else None, number)


def _gradient(model: nn.Module, batch: Batch, rule: StepRule, parts: int, factor: float = 1.0) -> tuple[Tensor, Tensor]:
    """Add the gradient of `factor` times the batch's mean loss to the parameters; returns that product and the number of hits."""

    def of_part(model: nn.Module, part: tuple[Part, float]) -> tuple[Tensor, Tensor]:
        (images, labels, weights, second), share = part
        seen = images if rule.attacker is None else rule.attacker(model, images, labels)
        loss_fn = rule.loss_fn if weights is None else weighted(rule.loss_fn, weights)
        loss, outputs = _loss(model, seen, labels, loss_fn, rule.autocast, second)
        if rule.stop_at_not_finite and not torch.isfinite(loss):
            raise LossNotFiniteError
        scaled = loss if share * factor == 1 else loss * (share * factor)
        scaled.backward()  # type: ignore[no-untyped-call]
        return scaled.detach(), rule.hits_fn(outputs.detach(), labels)

    beside = rule.side_by_side
    if parts == 1 and beside is not None and len(batch.labels) >= beside.count:
        found = beside.each(list(parts_of(batch, beside.count)), of_part)
    else:
        found = [of_part(model, part) for part in parts_of(batch, parts)]
    losses, hits = zip(*found, strict=True)
    return (losses[0], hits[0]) if len(found) == 1 else (torch.stack(losses).sum(), torch.stack(hits).sum())


def computing_in(dtype: torch.dtype | None, device: torch.device) -> torch.autocast:
    """Context in which convolutions and products are computed in `dtype`; None for that of the weights."""
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def weighted(loss_fn: Loss, weights: Tensor) -> Loss:
    """The loss of a batch as the mean of w_n times the loss of picture n alone, `weights` (N,)."""
    each = torch.vmap(lambda output, target: loss_fn(output[None], target[None]))
    return lambda outputs, targets: (weights.to(outputs.dtype) * each(outputs, targets)).mean()


def parts_of(batch: Batch, parts: int) -> Iterator[tuple[Part, float]]:
    """The parts of a batch, and the share of it that each is."""
    more: list[Tensor | None] = [getattr(batch, name, None) for name in ("weights", "second")]  # most kinds of batches have none
    if parts == 1:
        yield Part(batch.images, batch.labels, *more), 1.0
        return
    of_parts = zip(*([None] * parts if each is None else each.tensor_split(parts) for each in more), strict=True)
    for images, labels, some in zip(batch.images.tensor_split(parts), batch.labels.tensor_split(parts), of_parts, strict=True):
        if len(labels):
            yield Part(images, labels, *some), len(labels) / len(batch.labels)


def _loss(
    model: nn.Module, images: Tensor, labels: Tensor, loss_fn: Loss, autocast: torch.dtype | None, second: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The loss, auxiliary heads included, and the outputs of the model itself."""
    sides: tuple[Any, ...] = ()
    with computing_in(autocast, images.device):
        if hasattr(model, "forward_with_heads"):
            outputs, sides = cast("Any", model).forward_with_heads(images, labels, second)  # (N, K)
        else:
            outputs = model(images)  # (N, K)
    loss = loss_fn(outputs.float() if autocast else outputs, labels)
    for side in sides:
        of_head = F.cross_entropy if side.has_own_task else loss_fn
        loss = loss + side.weight * of_head(side.scores.float() if autocast else side.scores, side.labels)
    return loss, outputs
