"""What makes training fast on a processor without changing its result."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def tune_allocator() -> bool:
    """Let glibc keep freed memory for the next step instead of handing it back to the system; says whether it did.

    By default each large activation is mapped anew, and the page faults cost as much time as the arithmetic of a small network. The
    price is a higher resident memory. `STRIATE_MALLOC=0` leaves the allocator alone.
    """
    if not sys.platform.startswith("linux") or os.environ.get("STRIATE_MALLOC") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False  # another C library than glibc
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 * 2**20))
    return all([mallopt(parameter, value) == 1 for parameter, value in settings])


@contextlib.contextmanager
def pool_before_activation(model: nn.Module) -> Iterator[int]:
    """Within, each ReLU followed by a maximum pooling in a plain sequence runs after it; gives how many pairs were swapped.

    The larger of two numbers stays the larger after a ReLU, so values and gradients are equal bit for bit, and the ReLU works on a
    quarter of the places. Names and state dict keys stay as they are.
    """
    swapped: list[tuple[nn.Sequential, dict[str, nn.Module | None]]] = []
    pairs = 0
    for part in list(model.modules()):
        if not isinstance(part, nn.Sequential) or type(part).forward is not nn.Sequential.forward:
            continue
        names = list(part._modules)
        for place in range(len(names) - 1):
            first, second = part._modules[names[place]], part._modules[names[place + 1]]
            if type(first) is nn.ReLU and isinstance(second, MAX_POOLS) and not second.return_indices:
                names[place], names[place + 1] = names[place + 1], names[place]
                pairs += 1
        if names != list(part._modules):
            swapped.append((part, dict(part._modules)))
            _reorder(part, {name: part._modules[name] for name in names})
    try:
        yield pairs
    finally:
        for part, order in swapped:
            _reorder(part, order)


def _reorder(part: nn.Sequential, order: dict[str, nn.Module | None]) -> None:
    part._modules.clear()
    part._modules.update(order)
