"""Torch modules of the layers that drop at random, where torch has none."""

from __future__ import annotations

from torch import Tensor, nn


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
