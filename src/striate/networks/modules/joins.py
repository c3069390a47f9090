"""The torch modules of the two joins."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChainModule(nn.Sequential):
    """One child after the other; the children carry the description's names."""


class ParallelModule(nn.Module):
    """All children on the same input, merged as `merge` says; a trunk works on that input first."""

    def __init__(self, merge: str, crop: int | None = None, trunk: str | None = None) -> None:
        super().__init__()
        self.merge_by, self.crop, self.trunk = merge, crop, trunk

    def forward(self, x: Tensor) -> Tensor:
        if self.trunk is not None:
            x = getattr(self, self.trunk)(x)
        outputs: list[Tensor] = [branch(x) for name, branch in self.named_children() if name != self.trunk]
        if self.crop is not None:
            outputs = _cut_to_smallest(outputs, self.crop)
        if self.merge_by == "first":
            return outputs[0]
        if self.merge_by == "resize":
            return F.interpolate(outputs[0], tuple(outputs[1].shape[2:]), mode="bilinear", align_corners=False)
        if self.merge_by == "unpool":
            return unpooled(outputs[0], outputs[1])
        if self.merge_by == "concat":
            return torch.cat(_spread_single_places(outputs), dim=1)
        if self.merge_by == "mixture":
            return _log_of_mean([output.log_softmax(1) for output in outputs])
        merged = outputs[0]
        for output in outputs[1:]:
            merged = merged + output if self.merge_by == "sum" else merged * output
        return merged

    def extra_repr(self) -> str:
        return f"merge={self.merge_by}"


def _log_of_mean(logs: list[Tensor]) -> Tensor:
    """The logarithm of the mean of probabilities given as logarithms, (N, K) each."""
    return torch.stack(logs).logsumexp(0) - math.log(len(logs))


def _cut_to_smallest(maps: list[Tensor], start: int) -> list[Tensor]:
    """Each map larger than the smallest, cut to its size from place `start` of each axis on."""
    for axis in range(2, maps[0].ndim):
        smallest = min(m.shape[axis] for m in maps)
        maps = [m if m.shape[axis] == smallest else m.narrow(axis, start, smallest) for m in maps]
    return maps


def _spread_single_places(maps: list[Tensor]) -> list[Tensor]:
    """Maps of one place repeated to the size of the others."""
    size = max((tuple(m.shape[2:]) for m in maps), key=math.prod)
    return [m if tuple(m.shape[2:]) == size else m.expand(*m.shape[:2], *size) for m in maps]


def unpooled(maps: Tensor, coarse: Tensor) -> Tensor:
    """Each value of `coarse` (N, C, h, w) where its window of 2 x 2 places of `maps` (N, C, H, W) has its first maximum; zeros elsewhere.

    Written out, as torch's own has no gradient that is the same in each run on a GPU.
    """
    height, width = maps.shape[2:]
    _, places = F.max_pool2d(maps, 2, ceil_mode=True, return_indices=True)  # (N, C, h, w), counted row by row
    here = torch.arange(height * width, device=maps.device).view(height, width)
    return torch.where(_doubled(places, height, width) == here, _doubled(coarse, height, width), 0)


def _doubled(maps: Tensor, height: int, width: int) -> Tensor:
    """(N, C, h, w) with each place as 2 x 2, cut to (N, C, height, width)."""
    fourfold = maps[:, :, :, None, :, None].expand(*maps.shape[:3], 2, maps.shape[3], 2)
    return fourfold.reshape(*maps.shape[:2], 2 * maps.shape[2], 2 * maps.shape[3])[:, :, :height, :width]
