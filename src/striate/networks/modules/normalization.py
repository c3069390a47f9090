"""Torch modules of the normalizations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}
INSTANCE_NORMS = {2: nn.InstanceNorm1d, 3: nn.InstanceNorm2d, 4: nn.InstanceNorm3d}


def build_batch_norm(shape: tuple[int, ...], *, eps: float, momentum: float, scale: bool) -> nn.Module:
    """Batch normalization over the first axis of `shape`; without `scale`, the shift alone is learned."""
    module = BATCH_NORMS[len(shape)](shape[0], eps, momentum)
    if not scale:
        module.weight.requires_grad_(False)
    return module


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalization over the channels of (N, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GlobalResponseNormModule(nn.Module):
    """x + weight x n + bias, with n the norm of each map of (N, C, ...) divided by their mean over the channels."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (tensor.view(-1, *(1,) * (x.ndim - 2)) for tensor in (self.weight, self.bias))  # (C, 1, 1)
        norms = torch.linalg.vector_norm(x, dim=tuple(range(2, x.ndim)), keepdim=True)  # (N, C, 1, 1)
        return x + torch.addcmul(bias, weight, x * (norms / (norms.mean(1, keepdim=True) + self.eps)))
