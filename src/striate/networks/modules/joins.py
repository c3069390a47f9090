"""The torch modules of the two joins."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChainModule(nn.Sequential):
    """One child after the other; the children carry the description's names."""


class ParallelModule(nn.Module):
    """All children on the same input, merged by sum, concatenation of channels, or product; a trunk works on that input first."""

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
        if self.merge_by == "concat":
            return torch.cat(outputs, dim=1)
        merged = outputs[0]
        for output in outputs[1:]:
            merged = merged + output if self.merge_by == "sum" else merged * output
        return merged

    def extra_repr(self) -> str:
        return f"merge={self.merge_by}"


def _cut_to_smallest(maps: list[Tensor], start: int) -> list[Tensor]:
    """Each map larger than the smallest, cut to its size from place `start` of each axis on."""
    for axis in range(2, maps[0].ndim):
        smallest = min(m.shape[axis] for m in maps)
        maps = [m if m.shape[axis] == smallest else m.narrow(axis, start, smallest) for m in maps]
    return maps
