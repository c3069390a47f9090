"""The differences between a run and its repetition: in the numbers of each epoch, and in the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

TIMES = ("seconds", "images_per_second")  # columns that no run repeats


def compare_metrics(before: list[dict[str, str]], after: list[dict[str, str]]) -> tuple[int | None, tuple[str, ...], float]:
    """The first epoch that differs, the columns in which it does, and the largest difference of any number."""
    epoch: int | None = None
    columns: tuple[str, ...] = ()
    largest = 0.0
    for number, (ours, theirs) in enumerate(zip(before, after, strict=False), start=1):
        differing = tuple(name for name in ours if name not in TIMES and ours[name] != theirs.get(name))
        if differing and epoch is None:
            epoch, columns = number, differing
        largest = max([largest, *(abs(float(ours[name]) - float(theirs[name])) for name in differing if theirs.get(name))])
    if epoch is None and len(before) != len(after):
        epoch = min(len(before), len(after)) + 1
    return epoch, columns, largest


def compare_weights(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> tuple[int, int, float, str | None]:
    """The number of tensors of two models, the number that differ, the largest difference, and its tensor."""
    ours, theirs = ({name: tensor.numpy() for name, tensor in each.items()} for each in (before, after))
    differing = [name for name in ours if name not in theirs or not np.array_equal(ours[name], theirs[name])]
    by_name = {name: float(np.abs(ours[name].astype(np.float64) - theirs[name]).max()) for name in differing if name in theirs}
    worst = max(by_name, key=by_name.__getitem__, default=None)
    return len(ours), len(differing), by_name[worst] if worst else 0.0, worst
