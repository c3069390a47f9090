"""Randomness as a function of (seed, what it is for, step), so that it never depends on what happened before."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

MASK = 2**64 - 1


def mixed(*numbers: int) -> int:
    """One well-mixed number in [0, 2**63) of several: SplitMix64 (Steele, Lea and Flood, 2014) over them in turn."""
    state = 0
    for number in numbers:
        state = (state ^ (number & MASK)) + 0x9E3779B97F4A7C15 & MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
        state ^= state >> 31
    return state >> 1


@contextlib.contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Context in which torch refuses nondeterministic operations."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its bits with a workspace of its own only
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextlib.contextmanager
def torch_seed(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """torch's randomness from `seed`; on leaving, the generators of the CPU and of `device` are as they were."""
    import torch

    cuda = device if device is not None and device.type == "cuda" else None
    state = torch.get_rng_state()
    cuda_state = torch.cuda.get_rng_state(cuda) if cuda is not None else None
    torch.default_generator.manual_seed(seed)
    if cuda is not None:
        torch.cuda.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if cuda is not None and cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, cuda)
