"""Climbing a loss inside a ball around each picture: what training against attacks and attacking have in common."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]  # linf: no pixel changes by more than eps; l2: the change of a picture is no longer than eps


def lengths(changes: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The L2 norm of each picture's change, (N, 1, ...), computed in `dtype`; None for that of the changes."""
    norms: Tensor = torch.linalg.vector_norm(changes.flatten(1), dim=1, dtype=dtype)
    return norms.view(-1, *(1,) * (changes.ndim - 1))


def direction(slope: Tensor, norm: Norm, dtype: torch.dtype | None = None) -> Tensor:
    """The change of norm 1 that climbs `slope` fastest, (N, ...); 0 where the slope is 0. Its length is computed in `dtype`."""
    return slope.sign() if norm == "linf" else slope / lengths(slope, dtype).clamp(min=1e-30).to(slope.dtype)


def random_change(like: Tensor, norm: Norm, generator: torch.Generator | None = None) -> Tensor:
    """A random place of the unit ball for each picture, evenly over its volume (linf) or over its radius (l2)."""
    if norm == "linf":
        return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device) * 2 - 1
    change = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    radius = torch.rand((len(like), *(1,) * (like.ndim - 1)), generator=generator, dtype=like.dtype, device=like.device)
    return change / lengths(change).clamp(min=1e-12) * radius


def in_box(places: Tensor, clean: Tensor, eps: float, top: float) -> Tensor:
    """`places` with each pixel brought to at most `eps` from `clean`, and to [0, top]."""
    return torch.minimum(torch.maximum(places, clean - eps), clean + eps).clamp(0, top)
