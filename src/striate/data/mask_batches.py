"""Batches of pictures with a class for each pixel: a picture and its mask are augmented together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.data.batches import Batch, Batches
from striate.data.fitting import IGNORED
from striate.data.masks import MaskedSet, only_moves
from striate.data.records import ImageSet


class MaskBatches(Batches):
    """The batches of a set of pictures with masks; labels are (N, H, W) int64, 255 where a pixel has none.

    A picture and its mask are shifted and mirrored together: they are layers of one array.

    Raises:
        UsageError: the augmentation changes something else than places.
    """

    def _prepared(self, images: MaskedSet) -> ImageSet:
        """Each picture and its mask as layers of one array."""
        only_moves(self.augmentation, "pictures with masks")
        return ImageSet(images.name, images.split, images.packed, np.zeros(len(images), np.int64), images.classes, images.paths)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` (from 1), from batch `start` (from 0) on."""
        for batch in super().epoch(epoch, start):
            yield Batch(batch.images[..., :-1], (IGNORED - batch.images[..., -1]).long(), batch.indices)
