"""Counting pixels while a model of masks is validated."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.engine.losses import IGNORED
from striate.engine.processes import Group
from striate.engine.step import Loss


class PixelTable:
    """A `hits_fn` that also counts, where outputs are (N, K, H, W), how many pixels of each class were given each class."""

    def __init__(self, hits_fn: Loss) -> None:
        self.hits_fn = hits_fn
        self.counts: Tensor | None = None  # (K, K) int64: row = true class, column = given class

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What `hits_fn` gives."""
        if outputs.ndim > 2:
            num_classes = outputs.shape[1]
            known = targets != IGNORED  # (N, H, W)
            pairs = targets[known] * num_classes + outputs.argmax(1)[known]
            counts = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
            self.counts = counts if self.counts is None else self.counts + counts
        return self.hits_fn(outputs, targets)

    def share(self, group: Group) -> None:
        """Add the counts of the processes together."""
        side = int(group.sum(torch.tensor(0 if self.counts is None else len(self.counts))).item())  # one of them may have had no pictures
        having = int(group.sum(torch.tensor(int(self.counts is not None))).item())
        if having:
            counts = torch.zeros(side // having, side // having, dtype=torch.int64) if self.counts is None else self.counts.cpu()
            self.counts = group.sum(counts)

    @property
    def mean_iu(self) -> float | None:
        """Mean over the classes of n_ii / (t_i + sum_j n_ji - n_ii), those left out that are nowhere; None where nothing was counted.

        Source: Long, Shelhamer and Darrell, 2015, arXiv:1411.4038, section 5.
        """
        if self.counts is None or not self.counts.any():
            return None
        counts = self.counts.double()
        unions = counts.sum(0) + counts.sum(1) - counts.diagonal()
        return float((counts.diagonal() / unions)[unions > 0].mean())
