"""Torch modules of the poolings."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.modules.layout import keep_layout
from striate.networks.modules.padding import tensorflow_pads

if TYPE_CHECKING:
    from collections.abc import Callable

MAX: dict[int, Callable[..., nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE: dict[int, Callable[..., nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def build_pooling(
    how: str,
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    ceil_mode: bool,
    count_padding: bool,
    tf_same: bool,
) -> nn.Module:
    """A pooling of the rank of `kernel`; `pads` are (before, after) for each axis."""
    rank = len(kernel)
    if any(before != after for before, after in pads) or tf_same:
        return AsymmetricPool(how, kernel, stride, pads, count_padding=count_padding, tf_same=tf_same)
    padding = tuple(before for before, _ in pads)
    if how == "max":
        return MAX[rank](kernel, stride, padding, ceil_mode=ceil_mode)
    return AVERAGE[rank](kernel, stride, padding, ceil_mode, count_padding)


class AsymmetricPool(nn.Module):
    """Pooling with other padding before than after an axis, or with TensorFlow's rule for the size that comes."""

    def __init__(
        self,
        how: str,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        pads: tuple[tuple[int, int], ...],
        *,
        count_padding: bool,
        tf_same: bool,
    ) -> None:
        super().__init__()
        self.how, self.kernel, self.stride, self.pads = how, kernel, stride, pads
        self.count_padding, self.tf_same = count_padding, tf_same

    def forward(self, x: Tensor) -> Tensor:
        pads = self.pads
        if self.tf_same:
            pads = tensorflow_pads(tuple(x.shape[2:]), self.kernel, self.stride, (1,) * len(self.kernel))
        amounts = [count for pair in reversed(pads) for count in pair]
        if self.how == "max":
            largest: Tensor = MAX[len(self.kernel)](self.kernel, self.stride)(F.pad(x, amounts, value=float("-inf")))
            return largest
        average = AVERAGE[len(self.kernel)](self.kernel, self.stride)
        sums: Tensor = average(F.pad(x, amounts))
        if self.count_padding:
            return sums
        counted: Tensor = average(F.pad(torch.ones_like(x[:1, :1]), amounts))  # share of each window that is not padding
        return sums / counted


class GlobalPoolModule(nn.Module):
    """Average or maximum over all spatial axes."""

    def __init__(self, how: str, keep_axes: bool) -> None:
        super().__init__()
        self.how, self.keep_axes = how, keep_axes

    def forward(self, x: Tensor) -> Tensor:
        x, axes = keep_layout(x), tuple(range(2, x.ndim))
        if self.how == "max":
            return x.amax(axes, keepdim=self.keep_axes)
        return x.mean(axes, keepdim=self.keep_axes)

    def extra_repr(self) -> str:
        return f"{self.how}, keep_axes={self.keep_axes}"


class AdaptivePoolModule(nn.Module):
    """Averages that make maps of `size`, by sums whose gradients, unlike torch's own, are the same in each run on a GPU."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        for axis, wanted in enumerate(self.size, 2):
            if x.shape[axis] != wanted:
                windows = adaptive_windows(x.shape[axis], wanted, x)  # (wanted, places)
                sums = torch.movedim(x, axis, -1) @ windows.T
                x = torch.movedim(sums / windows.sum(1), -1, axis)
        return x

    def extra_repr(self) -> str:
        return " x ".join(map(str, self.size))


def adaptive_windows(places: int, wanted: int, like: Tensor) -> Tensor:
    """(wanted, places): 1 for each of `places` that one of `wanted` windows reads, else 0; of the dtype and device of `like`."""
    place, window = torch.arange(places, device=like.device), torch.arange(wanted, device=like.device)[:, None]
    inside = (place >= window * places // wanted) & (place < -(-(window + 1) * places // wanted))
    return inside.to(like.dtype)


class SubsampleModule(nn.Module):
    """The sum of each window times one coefficient per map, plus one bias per map."""

    def __init__(self, channels: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel = kernel
        bound = 2.4 / prod(kernel)  # the paper's initialisation, 2.4 / fan-in
        self.weight = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        sums = F.avg_pool2d(x, self.kernel) * prod(self.kernel)  # (N, C, h, w)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]
