"""Torch modules of the normalizations."""

from __future__ import annotations

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
