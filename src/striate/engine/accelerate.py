"""Faster training on a CPU, with the same results."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def tune_allocator() -> bool:
    """Let glibc keep freed memory for the next step instead of handing it back to the system; returns whether it did.

    By default each large activation is mapped anew, and the page faults cost as much time as the arithmetic of a small network; and each
    thread has an arena of its own, which does hand back. The price is a higher resident memory. `STRIATE_MALLOC=0` leaves the allocator
    alone.
    """
    if not sys.platform.startswith("linux") or os.environ.get("STRIATE_MALLOC") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False  # another C library than glibc
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 * 2**20), (M_ARENA_MAX, 1))
    accepted = [mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(accepted)


class Slot(NamedTuple):
    """A place in a sequence."""

    sequence: nn.Sequential
    name: str

    @property
    def part(self) -> nn.Module | None:
        """The module at this position."""
        return self.sequence._modules[self.name]

    def put(self, part: nn.Module) -> None:
        """Put `part` at this position."""
        self.sequence._modules[self.name] = part


@contextlib.contextmanager
def pool_before_activation(model: nn.Module) -> Iterator[int]:
    """Context in which each ReLU followed by max pooling in a plain sequence runs after it; yields the number of pairs swapped.

    The larger of two numbers stays the larger after a ReLU, so values and gradients are equal bit for bit, and the ReLU works on a
    quarter of the places. Neither has a state, so the state dict stays as it is.

    A sequence counts when it runs as a whole: the model itself, a subclass of nn.Sequential that keeps its forward, and what stands
    inside one that counts. A bare nn.Sequential inside a module with a forward of its own may be read place by place, and a model
    with auxiliary heads is read from inside: both are left alone.
    """
    swapped: list[tuple[Slot, nn.Module, Slot, nn.Module]] = []
    for first, second in _pairs(model):
        relu, pool = first.part, second.part
        if type(relu) is nn.ReLU and isinstance(pool, MAX_POOLS) and type(pool) in MAX_POOLS and not pool.return_indices:
            first.put(pool)
            second.put(relu)
            swapped.append((first, relu, second, pool))
    try:
        yield len(swapped)
    finally:
        for first, relu, second, pool in reversed(swapped):
            first.put(relu)
            second.put(pool)


def followed_alone(model: nn.Module) -> dict[nn.Module, nn.Module]:
    """For modules whose output only one other takes, that one; each of the two stands in one place of the model."""
    places = Counter(id(part) for _, part in model.named_modules(remove_duplicate=False))
    pairs = [(first.part, second.part) for first, second in _pairs(model)]
    return {one: other for one, other in pairs if one is not None and other is not None and places[id(one)] == places[id(other)] == 1}


def _pairs(model: nn.Module) -> list[tuple[Slot, Slot]]:
    """All pairs of modules of which the second is the only one that takes the output of the first."""
    if hasattr(model, "forward_with_heads"):
        return []
    sequences = [part for _, part in model.named_modules(remove_duplicate=False) if _is_sequence(part)]
    if len(set(map(id, sequences))) < len(sequences):
        return []  # one that is used twice has two followers
    inside = {id(child) for part in sequences for child in part.children()}
    whole = [part for part in sequences if id(part) not in inside and (part is model or type(part) is not nn.Sequential)]
    return [pair for part in whole for pair in pairwise(_slots(part))]


def _is_sequence(part: nn.Module | None) -> TypeGuard[nn.Sequential]:
    return isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward


def _slots(sequence: nn.Sequential) -> Iterator[Slot]:
    """The modules of `sequence` and of the sequences in it, in the order in which they run."""
    for name, part in sequence._modules.items():
        if _is_sequence(part):
            yield from _slots(part)
        else:
            yield Slot(sequence, name)
