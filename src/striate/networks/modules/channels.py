"""Torch modules that work along the channel axis."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.modules.layout import every_place, keep_layout


class ChannelLinearModule(nn.Linear):
    """A linear layer over the channels of (N, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GainModule(nn.Module):
    """A learned constant of `shape`, repeated for each sample of the input, whose values are not used."""

    def __init__(self, shape: tuple[int, ...], init: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full(shape, init))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.expand(x.shape[0], *self.weight.shape)


class ScaleModule(nn.Module):
    """The input times `factor`."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class PadChannelsModule(nn.Module):
    """Every `stride`-th place, and `count` maps of zeros behind the last."""

    def __init__(self, count: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.count, self.stride = count, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(every_place(x, self.stride), (0, 0) * len(self.stride) + (0, self.count))

    def extra_repr(self) -> str:
        return f"{self.count}, stride={self.stride}"


class MeanChannelsModule(nn.Module):
    """The mean of the channels of (N, C, ...), `count` times."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).repeat_interleave(self.count, 1)

    def extra_repr(self) -> str:
        return f"{self.count}"


class ChannelChunkModule(nn.Module):
    """Part `index` of `chunks` equal ones of the channels."""

    def __init__(self, index: int, chunks: int) -> None:
        super().__init__()
        self.index, self.chunks = index, chunks

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[1] // self.chunks
        return keep_layout(x).narrow(1, self.index * size, size)

    def extra_repr(self) -> str:
        return f"{self.index} of {self.chunks}"
