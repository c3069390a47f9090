"""The peak of this machine, measured: multiply-adds in matrix products and a convolution, bytes in one large copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch.nn import functional as F

from striate.insight.profile.clock import seconds_of

SIDES = (256, 512, 1024)  # of the matrices; 2,048 reached no more on the processors tried
CONVOLVED = (8, 128, 28)  # pictures, channels and pixels of a side of the 1 x 1 convolution, channels last
COPIED_BYTES = 64 * 2**20  # far more than a cache holds


class Machine(NamedTuple):
    """The measured limits of a device, with the threads that torch uses.

    A layer can pass that of bytes, as its data may lie in a cache, and that of FLOPs only where it is computed with fewer multiply-adds
    than are counted (Winograd): see `raised`.
    """

    flops_per_second: float
    bytes_per_second: float

    def attainable(self, intensity: float) -> float:
        """The most FLOPs a second that work of `intensity` FLOPs a byte can reach: the roofline.

        Source: Williams et al., 2009, Communications of the ACM 52(4).
        """
        return min(self.flops_per_second, intensity * self.bytes_per_second)


def best(first: Machine, second: Machine) -> Machine:
    """The higher of each limit, as other programs may have slowed one measurement down."""
    return Machine(*map(max, first, second))


def raised(machine: Machine, direct_rates: Iterable[float]) -> Machine:
    """The machine with a peak of at least what those layers reached that need every multiply-add that is counted.

    Other programs may have slowed the matrix products down, and a layer's own kernel may be the faster.
    """
    return machine._replace(flops_per_second=max([machine.flops_per_second, *direct_rates]))


def measure_machine(device: torch.device, dtype: torch.dtype = torch.float32) -> Machine:
    """The best of several runs of each, the multiply-adds in `dtype`; random numbers are left alone."""
    rates = [_product_rate(side, device, dtype) for side in SIDES] + [_convolution_rate(device, dtype)]
    source = torch.ones(COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    copy = min(seconds_of(lambda: target.copy_(source), device, least=5, most=20))
    return Machine(max(rates), 2 * COPIED_BYTES / copy)  # a copy reads and writes


def _product_rate(side: int, device: torch.device, dtype: torch.dtype) -> float:
    left = torch.linspace(-1, 1, side * side, device=device).view(side, side).to(dtype)
    product = torch.empty_like(left)
    return 2 * side**3 / min(seconds_of(lambda: torch.mm(left, left, out=product), device, least=5, most=40))


def _convolution_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Of a 1 x 1 convolution, which needs every multiply-add, by the kernels that the layers run on."""
    count, channels, side = CONVOLVED
    images = torch.linspace(-1, 1, count * channels * side * side, device=device).view(count, channels, side, side)
    images = images.to(dtype, memory_format=torch.channels_last)
    weight = torch.full((channels, channels, 1, 1), 0.5, device=device, dtype=dtype)
    with torch.no_grad():
        times = seconds_of(lambda: F.conv2d(images, weight), device, least=5, most=40)
    return 2 * count * channels**2 * side**2 / min(times)
