"""Torch modules of a transformer, over sequences (N, T, F)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttentionModule(nn.Module):
    """Queries, keys and values (N, T, 3 F) to what was read (N, T, F), each of `heads` parts of the features by itself."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        parts = x.reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (3, N, heads, T, F / heads)
        queries, keys, values = parts.unbind(0)
        read: Tensor = F.scaled_dot_product_attention(queries, keys, values)  # (N, heads, T, F / heads)
        return read.transpose(1, 2).flatten(2)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


class ClassTokenModule(nn.Module):
    """A learned step, repeated for each sample of the input, whose values are not used."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, features))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.expand(x.shape[0], -1, -1)


class PositionEmbeddingModule(nn.Module):
    """The input plus a learned number for each element."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, *shape).normal_(std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class TakeStepModule(nn.Module):
    """One step of a sequence."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.index]

    def extra_repr(self) -> str:
        return str(self.index)
