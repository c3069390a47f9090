"""Gradients in the memory format of the maps that they belong to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def keep_layout(x: Tensor) -> Tensor:
    """`x` itself, (N, C, H, W), whose gradient comes channels last where `x` lies so.

    The gradients of a mean, a slice and a padding lie channel by channel whatever the input did. An activation hands that on, except
    ReLU, and the backward pass of a batch normalization then takes ten times as long.
    """
    kept: Tensor = _ChannelsLast.apply(x) if _is_last(x) and x.requires_grad else x
    return kept


def every_place(x: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Every `stride`-th place of `x` (N, C, ...) along each axis, whose gradient lies as `x` does."""
    places = (slice(None), slice(None), *(slice(None, None, step) for step in stride))
    taken: Tensor = _Places.apply(x, places) if _is_last(x) and x.requires_grad else x[places]
    return taken


def _is_last(x: Tensor) -> bool:
    """Return whether the channels of `x` lie last in memory."""
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class _ChannelsLast(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous(memory_format=torch.channels_last)


class _Places(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, places: tuple[slice, ...]) -> Tensor:
        ctx.shape, ctx.places = x.shape, places
        return x[places]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        whole = torch.empty(ctx.shape, dtype=gradients[0].dtype, device=gradients[0].device, memory_format=torch.channels_last).zero_()
        whole[ctx.places] = gradients[0]
        return whole, None
