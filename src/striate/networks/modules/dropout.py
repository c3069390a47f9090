"""Torch modules of the layers that drop at random, where torch has none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 2**32  # of the random numbers that decide what `DropoutModule` drops


class DropoutModule(nn.Dropout):
    """`nn.Dropout`, at least twice as fast on a processor: one 64-bit random number decides two elements.

    They come from `generator` where there is one, else from torch's own.
    """

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * LEVELS)  # of the equally likely numbers
        if not self.training or self.inplace or x.device.type != "cpu" or dropped in (0, LEVELS):
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // 2), dtype=torch.int64).random_(-(2**63), None, generator=self.generator)
        kept = draws.view(torch.int32)[: x.numel()].view(x.shape) >= dropped - LEVELS // 2
        return x * kept / (1 - self.p)


class StochasticDepthModule(nn.Module):
    """Drops whole samples with probability `p` in training mode, and divides the others by 1 - p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty(x.shape[0], *(1,) * (x.ndim - 1)).bernoulli_(1 - self.p)  # (N, 1, ...)
        return x * (kept / (1 - self.p) if self.p < 1 else kept)

    def extra_repr(self) -> str:
        return f"p={self.p}"
