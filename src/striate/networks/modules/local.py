"""The torch module of the locally connected layer."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import ShapeError


class LocallyConnectedModule(nn.Module):
    """Each of P output places has its own weight, so `weight` is (P, C_out, C_in, *kernel) and `bias` (P, C_out)."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, ...],
        pads: tuple[tuple[int, int], ...],
        bias: bool,
    ) -> None:
        super().__init__()
        self.input_shape, self.output_shape, self.kernel, self.stride, self.pads = input_shape, output_shape, kernel, stride, pads
        out_channels, places = output_shape[0], prod(output_shape[1:])
        bound = (input_shape[0] * prod(kernel)) ** -0.5  # 1 / sqrt(fan-in), as torch's convolutions start
        self.weight = nn.Parameter(torch.empty(places, out_channels, input_shape[0], *kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(places, out_channels).uniform_(-bound, bound)) if bias else None

    def kernels(self) -> list[tuple[Tensor, float, float]]:
        """The weights (blocks, out, in, ...) with their fan-in and fan-out, for initialization."""
        _, out_channels, in_channels, *kernel = self.weight.shape
        return [(self.weight, in_channels * prod(kernel), out_channels * prod(kernel))]

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.input_shape:
            raise ShapeError(f"this locally connected layer fits {self.input_shape} only, got {tuple(x.shape[1:])}")
        rank = len(self.kernel)
        windows = F.pad(x, [count for pair in reversed(self.pads) for count in pair])
        for axis in range(rank):
            windows = windows.unfold(2 + axis, self.kernel[axis], self.stride[axis])
        windows = windows.movedim(1, 1 + rank).flatten(1 + rank).flatten(1, rank)  # (N, P, C k...)
        products = windows.transpose(0, 1) @ self.weight.flatten(2).transpose(1, 2)  # (P, N, C_out)
        if self.bias is not None:
            products = products + self.bias[:, None]
        return products.permute(1, 2, 0).reshape(-1, *self.output_shape)
