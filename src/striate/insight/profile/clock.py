"""Seconds of repeated calls, on the CPU and on devices that work asynchronously."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 2  # calls that are not timed: kernels are chosen and memory is taken in the first


def seconds_of(call: Callable[[], object], device: torch.device, *, least: int = 5, most: int = 50, budget: float = 0.5) -> list[float]:
    """The seconds of each of several calls: at least `least`, then until `budget` seconds or `most` calls are used up."""
    for _ in range(WARM_UP):
        call()
    wait_for(device)
    times: list[float] = []
    while len(times) < least or (len(times) < most and sum(times) < budget):
        start = time.perf_counter()
        call()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return times


def wait_for(device: torch.device) -> None:
    """Return when the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
