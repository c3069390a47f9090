"""Torch modules of the transposed convolutions."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.nn.modules.conv import _ConvTransposeNd

TRANSPOSED: dict[int, Callable[..., _ConvTransposeNd]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def build_transposed(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    output_padding: tuple[int, ...],
    groups: int,
    bias: bool,
    dilation: tuple[int, ...],
    bilinear: bool,
) -> nn.Module:
    """A transposed convolution of the rank of `kernel`."""
    module = TRANSPOSED[len(kernel)](in_channels, out_channels, kernel, stride, padding, output_padding, groups, bias, dilation)
    if bilinear:
        with torch.no_grad():
            weight = nn.init.zeros_(module.weight)  # (C_in, C_out / groups, ...)
            for channel in range(in_channels):
                weight[channel, channel % (in_channels // groups) % weight.shape[1]] = bilinear_kernel(kernel)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        module.keeps_start = True  # type: ignore[assignment]  # for weight initialization
    return module


def bilinear_kernel(kernel: tuple[int, ...]) -> Tensor:
    """The kernel that enlarges linearly: the product over the axes of 1 - |i - (k - 1) / 2| / f, with f = ceil(k / 2)."""
    weight = torch.ones(())
    for size in kernel:
        line = 1 - (torch.arange(size) - (size - 1) / 2).abs() / ceil(size / 2)
        weight = weight[..., None] * line
    return weight
