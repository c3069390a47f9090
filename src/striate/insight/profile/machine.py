"""What this machine reaches at most, measured: multiply-adds in one large matrix product, bytes in one large copy."""

from __future__ import annotations

from typing import NamedTuple

import torch

from striate.insight.profile.clock import seconds_of

SIDE = 1024  # of the matrices; 2,048 reached no more on the processors tried
COPIED_BYTES = 64 * 2**20  # far more than a cache holds


class Machine(NamedTuple):
    """The measured limits of a device, in float32 and with the threads that torch uses.

    A layer can pass them: its data may lie in a cache, and some convolutions need fewer multiply-adds than are counted (Winograd).
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


def measure_machine(device: torch.device) -> Machine:
    """The best of several runs of each; random numbers are left alone."""
    left = torch.linspace(-1, 1, SIDE * SIDE, device=device).view(SIDE, SIDE)
    product = torch.empty_like(left)
    source = torch.ones(COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    multiply = min(seconds_of(lambda: torch.mm(left, left, out=product), device, least=5, most=20))
    copy = min(seconds_of(lambda: target.copy_(source), device, least=5, most=20))
    return Machine(2 * SIDE**3 / multiply, 2 * COPIED_BYTES / copy)  # a copy reads and writes
