"""Confusion counts while a model is validated."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.engine.losses import IGNORED
from striate.engine.processes import ProcessGroup
from striate.engine.step import Loss


class ConfusionTable:
    """A `hits_fn` that also counts hits, true and predicted classes: of the pixels of masks, or of pictures.

    Args:
        hits_fn: The function whose result a call returns.
        of_pictures: Count pictures too, where outputs are (N, K) and targets (N,) classes; pixels are always counted.
    """

    def __init__(self, hits_fn: Loss, *, of_pictures: bool = False) -> None:
        self.hits_fn, self.of_pictures = hits_fn, of_pictures
        self.of_pixels = False
        self.counts: Tensor | None = None  # (3, K) int64: places that were given their class, of each class, that were given each class

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The result of `hits_fn`."""
        of_classes = not targets.is_floating_point()
        self.of_pixels = self.of_pixels or (outputs.ndim > 2 and of_classes)
        if of_classes and (outputs.ndim > 2 or self.of_pictures):
            known = targets != IGNORED  # (N, ...)
            true, given = targets[known], outputs.argmax(1)[known]
            counts = torch.stack([torch.bincount(of, minlength=outputs.shape[1]) for of in (true[true == given], true, given)])
            self.counts = counts if self.counts is None else self.counts + counts
        return self.hits_fn(outputs, targets)

    def share(self, group: ProcessGroup) -> None:
        """Add the counts of the processes together."""
        classes = int(group.sum(torch.tensor(0 if self.counts is None else self.counts.shape[1])).item())  # one may have had no pictures
        having = int(group.sum(torch.tensor(int(self.counts is not None))).item())
        if having:
            counts = torch.zeros(3, classes // having, dtype=torch.int64) if self.counts is None else self.counts.cpu()
            self.counts = group.sum(counts)
        self.of_pixels = bool(group.sum(torch.tensor(int(self.of_pixels))).item())

    @property
    def mean_iu(self) -> float | None:
        """Mean over the classes of n_ii / (t_i + sum_j n_ji - n_ii), those left out that are nowhere; None if no pixel was counted.

        Source: Long, Shelhamer and Darrell, 2015, arXiv:1411.4038, section 5.
        """
        if not self.of_pixels:
            return None
        hits, true, given = self._sums()
        return _mean_of_shares(hits, true + given - hits)

    @property
    def macro_f1(self) -> float | None:
        """Mean over the classes of 2 n_ii / (t_i + sum_j n_ji), those left out that are nowhere; None if nothing was counted."""
        hits, true, given = self._sums()
        return _mean_of_shares(2 * hits, true + given)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean over the classes of n_ii / t_i, those left out that have no place; None if nothing was counted."""
        hits, true, _ = self._sums()
        return _mean_of_shares(hits, true)

    def _sums(self) -> Tensor:
        """(3, K) float64: places that were given their class, places of each class, places that were given each class."""
        return torch.zeros(3, 0) if self.counts is None else self.counts.double()


def _mean_of_shares(parts: Tensor, wholes: Tensor) -> float | None:
    """The mean of parts / wholes (K,) over the wholes that are not 0; None if all are."""
    there = wholes > 0
    return float((parts[there] / wholes[there]).mean()) if there.any() else None
