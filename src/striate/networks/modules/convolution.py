"""Torch modules of the convolutions: torch's own where it has the padding, with a padding step where it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.modules.padding import tensorflow_pads

if TYPE_CHECKING:
    from collections.abc import Sequence

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def build_convolution(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    groups: int,
    bias: bool,
    connections: Sequence[Sequence[int]] | None,
    tf_same: bool,
) -> nn.Module:
    """A convolution of the rank of `kernel`; `pads` are (before, after) for each axis."""
    symmetric = all(before == after for before, after in pads) and not tf_same
    padding = tuple(before for before, _ in pads) if symmetric else (0,) * len(pads)
    convolution: type[nn.Module] = CONVOLUTIONS[len(kernel)]
    if not symmetric:
        convolution = ASYMMETRIC[len(kernel)]
    if connections is not None:
        convolution = PartialConv2d
    module = convolution(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias)
    if isinstance(module, AsymmetricPadding):
        module.pads, module.tf_same = pads, tf_same
    if isinstance(module, PartialConv2d) and connections is not None:
        module.connect(connections)
    return module


class AsymmetricPadding(nn.modules.conv._ConvNd):
    """A convolution that pads its input itself: by `pads`, or for the size that comes where TensorFlow's rule says so."""

    pads: tuple[tuple[int, int], ...]
    tf_same: bool

    def padded(self, x: Tensor) -> Tensor:
        pads = self.pads
        if self.tf_same:
            pads = tensorflow_pads(tuple(x.shape[2:]), self.kernel_size, self.stride, self.dilation)
        return F.pad(x, [count for pair in reversed(pads) for count in pair])

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self._conv_forward(self.padded(x), self.weight, self.bias)
        return convolved


class AsymmetricConv1d(AsymmetricPadding, nn.Conv1d):
    """1-D convolution with asymmetric padding."""


class AsymmetricConv2d(AsymmetricPadding, nn.Conv2d):
    """2-D convolution with asymmetric padding."""


class AsymmetricConv3d(AsymmetricPadding, nn.Conv3d):
    """3-D convolution with asymmetric padding."""


ASYMMETRIC: dict[int, type[nn.Module]] = {1: AsymmetricConv1d, 2: AsymmetricConv2d, 3: AsymmetricConv3d}


class PartialConv2d(nn.Conv2d):
    """A 2-D convolution in which each output map sees only some input maps; only the weights in use are parameters.

    `weight` is (links, k_h, k_w), link by link in the order of the table; the dense kernel is assembled on use.
    """

    link_places: Tensor

    def connect(self, connections: Sequence[Sequence[int]]) -> None:
        """Keep only the weights of `connections`, the input maps of each output map."""
        places = torch.tensor([o * self.in_channels + i for o, inputs in enumerate(connections) for i in inputs])
        dense = self.weight.detach().flatten(0, 1)  # (out * in, k_h, k_w)
        self.weight = nn.Parameter(dense[places].clone())  # (links, k_h, k_w)
        self.register_buffer("link_places", places, persistent=False)

    def kernels(self) -> list[tuple[Tensor, float, float]]:
        """The weights (1, 1, inputs, k_h, k_w) of each output map with their fan-in and mean fan-out, for initialization."""
        size, links = self.weight[0].numel(), torch.bincount(self.link_places // self.in_channels, minlength=self.out_channels)
        fan_out = len(self.weight) * size / self.in_channels
        parts: tuple[Tensor, ...] = torch.split(self.weight, links.tolist())
        return [(part[None, None], part.numel(), fan_out) for part in parts if len(part)]

    def dense_weight(self) -> Tensor:
        """The kernel (out, in, k_h, k_w), zero where maps are not connected."""
        dense = self.weight.new_zeros(self.out_channels * self.in_channels, *self.kernel_size)
        dense = dense.index_copy(0, self.link_places, self.weight)  # (out * in, k_h, k_w)
        return dense.view(self.out_channels, self.in_channels, *self.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self._conv_forward(x, self.dense_weight(), self.bias)
        return convolved
