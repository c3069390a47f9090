"""Validating a model between the epochs of its training, and comparing epochs by it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from striate.core.modes import evaluation_mode
from striate.engine.adversarial import examiner_of, robust_accuracy
from striate.engine.confusion import ConfusionTable
from striate.engine.losses import hits_of, plain_loss_of
from striate.engine.processes import ProcessGroup
from striate.engine.settings import OF_CLASSES, TrainSettings
from striate.engine.step import Batches, Loss, hits_of_classes


class Validation(NamedTuple):
    """The results of a validation; NaN where there was none. See `striate.engine.fit.EpochRow`."""

    loss: float = math.nan
    accuracy: float = math.nan
    mean_iu: float | None = None
    robust_accuracy: float | None = None
    macro_f1: float | None = None
    balanced_accuracy: float | None = None
    auxiliary_accuracy: float | None = None


def measured(model: nn.Module, batches: Batches, settings: TrainSettings, group: ProcessGroup | None = None) -> Validation:
    """The measures of `model` that a training with these settings needs after an epoch."""
    loss_fn, table = plain_loss_of(settings), ConfusionTable(hits_of(settings), of_pictures=settings.monitor in OF_CLASSES)
    loss, accuracy = validate(model, batches, loss_fn=loss_fn, hits_fn=table, group=group)
    attacker, robust = examiner_of(settings, loss_fn), None
    if attacker is not None:
        robust = robust_accuracy(model, batches, attacker, seed=settings.seed, group=group)
    monitored = {name: getattr(table, name) for name in OF_CLASSES if name == settings.monitor}
    auxiliary = auxiliary_accuracy(model, batches, group) if getattr(model, "has_own_tasks", False) else None
    return Validation(loss, accuracy, table.mean_iu, robust, auxiliary_accuracy=auxiliary, **monitored)


def validate(
    model: nn.Module,
    batches: Batches,
    *,
    loss_fn: Loss | None = None,
    hits_fn: Loss | None = None,
    group: ProcessGroup | None = None,
) -> tuple[float, float]:
    """Mean loss (without others: cross-entropy in nats) and accuracy over `batches`, in float32 and evaluation mode.

    The processes of a `group` have a part of the batches each, and all get the result for the whole.
    """
    loss_fn, hits_fn = loss_fn or F.cross_entropy, hits_fn or hits_of_classes
    loss, correct, seen = 0.0, 0.0, 0
    with torch.inference_mode(), evaluation_mode(model):
        for batch in batches.epoch(1):
            if not len(batch.labels):
                continue  # a part of a batch that is too small to be divided
            outputs = model(batch.images)  # (N, K)
            loss += float(loss_fn(outputs, batch.labels)) * len(batch.labels)
            correct += float(hits_fn(outputs, batch.labels))
            seen += len(batch.labels)
    if group is not None:
        loss, correct, seen = group.sum(torch.tensor([loss, correct, seen], dtype=torch.float64)).tolist()
        if isinstance(hits_fn, ConfusionTable):
            hits_fn.share(group)
    return loss / seen, correct / seen


def auxiliary_accuracy(model: nn.Module, batches: Batches, group: ProcessGroup | None = None) -> float:
    """The share of right answers of the auxiliary heads that have a task of their own, over `batches`, in evaluation mode."""
    correct, seen = 0.0, 0
    with torch.inference_mode(), evaluation_mode(model):
        for batch in batches.epoch(1):
            if not len(batch.labels):
                continue  # a part of a batch that is too small to be divided
            _, sides = cast("Any", model).forward_with_heads(batch.images, batch.labels, getattr(batch, "second", None))
            for side in sides:
                if side.has_own_task:
                    correct += float(hits_of_classes(side.scores, side.labels))
                    seen += len(side.scores)
    if group is not None:
        correct, seen = group.sum(torch.tensor([correct, seen], dtype=torch.float64)).tolist()
    return correct / seen
