"""Batch normalization over the whole batch, of which each process has a part.

By default each process normalizes with the statistics of its own part, as it does for the parts of an accumulated batch. torch's
SyncBatchNorm computes on GPUs only and replaces the modules; here the modules stay, and processors do as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.engine.processes import ProcessGroup


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of theirs, as each of them has used the sum."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return group.sum(own.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.group.sum(gradients[0].contiguous().clone()), None


def normalized_together(norm: _BatchNorm, group: ProcessGroup, x: Tensor) -> Tensor:
    """The output of `norm` for `x` (n, C, ...), this process's part of a batch, with mean and variance over all parts."""
    if not norm.training and norm.track_running_stats:
        return type(norm).forward(norm, x)
    wide = x if x.dtype == torch.float64 else x.float()
    axes, shape = [axis for axis in range(x.ndim) if axis != 1], [1, -1] + [1] * (x.ndim - 2)
    count = float(group.sum(torch.tensor([x.numel() / x.shape[1]], dtype=torch.float64)).item())  # values a channel, of the whole batch
    mean: Tensor = _Sum.apply(wide.sum(axes), group) / count  # (C,)
    centred = wide - mean.view(shape)
    variance: Tensor = _Sum.apply(centred.square().sum(axes), group) / count  # (C,)
    _track(norm, mean.detach(), variance.detach() * (count / max(count - 1, 1)))
    normalized: Tensor = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        normalized = normalized * norm.weight.view(shape) + norm.bias.view(shape)
    return normalized.to(x.dtype)


@torch.no_grad()
def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards those of a batch, as torch does: without a momentum, to the mean over all batches."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


@contextlib.contextmanager
def norms_together(model: nn.Module, group: ProcessGroup) -> Iterator[None]:
    """Context in which each batch norm of `model` normalizes over the parts of all processes."""
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.__dict__["forward"] = partial(normalized_together, norm, group)
    try:
        yield
    finally:
        for norm in norms:
            del norm.__dict__["forward"]
