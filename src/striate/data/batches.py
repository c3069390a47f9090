"""Batches with augmentation as whole-batch tensor operations: no Python per sample.

Order and augmentation are pure functions of (seed, epoch, sample index): neither the batch size nor what was drawn before changes
what happens to a picture, so a run can be continued anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import DataError, UsageError
from striate.data.augmentation.apply import augmented
from striate.data.augmentation.colours import Components, components_of
from striate.data.augmentation.draws import Draw, Draws, random_bits
from striate.data.augmentation.mixing import mixed_labels, mixed_pictures, partners
from striate.data.augmentation.places import flipped, shifted_crops
from striate.data.augmentation.record import Augmentation, PadMode
from striate.data.prefetch import prepared
from striate.data.records import ImageSet, num_batches

__all__ = ["Augmentation", "Batch", "Batches", "PadMode", "flipped", "random_bits", "shifted_crops"]

MAX_BYTES_ON_DEVICE = 4 * 2**30  # a training set up to this size moves to the GPU as a whole


class Batch(NamedTuple):
    """A batch of pictures."""

    images: Tensor  # (N, H, W, C) uint8, or (N, ..., C) float32
    labels: Tensor  # (N,) int64; (N, K) float32 shares of classes where pictures are mixed
    indices: Tensor  # (N,) int64 on the CPU, places in the image set
    weights: Tensor | None = None  # (N,) float32 in the loss, of mean 1 over the set; None: all 1
    second: Tensor | None = None  # (N,) int64, the labels of a second task, where it has its own


class Batches:
    """The batches of an image set, epoch by epoch.

    Each picture comes exactly once an epoch. A last batch of a single picture, which batch normalization cannot take, joins the batch
    before it. Pictures stay uint8; a set of up to 4 GiB moves to a GPU once, as a whole.
    """

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        if workers < 0:
            raise UsageError(f"workers must not be negative, got {workers}")
        self.augmentation = augmentation or Augmentation()
        images = self._prepared(images)
        if self.augmentation != Augmentation() and images.kind != "pictures":
            raise UsageError(f"augmentation changes pictures, and the data has {images.kind}", "Leave it out.")
        height, width = images.images.shape[1:3] if images.kind == "pictures" else (0, 0)
        if self.augmentation.pad_mode == "reflect" and self.augmentation.crop_padding >= min(height, width):
            message = f"crop_padding {self.augmentation.crop_padding} reflects more pixels than a picture of {height} x {width} has"
            raise UsageError(message, "Choose a smaller padding, or pad_mode='zero'.")
        self.set, self.batch_size, self.seed, self.shuffle, self.workers = images, batch_size, seed, shuffle, workers
        self.device = torch.device(device)
        is_number = images.labels.dtype.kind == "f"
        self.labels = torch.from_numpy(np.array(images.labels, np.float32 if is_number else np.int64)).to(self.device)
        weights = images.facts.weights
        scaled = None if weights is None else np.asarray(weights / weights.mean(), np.float32)
        self.weights = None if scaled is None else torch.from_numpy(scaled).to(self.device)
        second = images.facts.second
        self.second = None if second is None else torch.from_numpy(second).to(self.device)
        self.components: Components | None = components_of(images.images) if self.augmentation.pca_colour else None
        self.part, self.parts = 0, 1  # of each batch, that this process gets
        self.on_device: Tensor | None = None  # the whole set
        if self.device.type != "cpu" and not isinstance(images.images, np.memmap) and images.images.nbytes <= MAX_BYTES_ON_DEVICE:
            self.on_device = torch.from_numpy(np.require(images.images, requirements=["C", "W"])).to(self.device)

    def __len__(self) -> int:
        return num_batches(len(self.set), self.batch_size)

    def _prepared(self, images: Any) -> ImageSet:
        """The set that is divided into batches and augmented, of the set that was given."""
        prepared_set: ImageSet = images
        return prepared_set

    def divide(self, part: int, parts: int) -> None:
        """Yield part `part` (from 0) of each batch instead of the whole, for one of `parts` processes.

        Parts are as equal as can be, and of at least two pictures, which batch normalization needs: of a small last batch some are empty.
        """
        self.part, self.parts = part, parts

    def _own(self, indices: Tensor) -> Tensor:
        """Those of a batch's `indices` that this process gets."""
        parts = max(1, min(self.parts, len(indices) // 2))
        return indices.tensor_split(parts)[self.part] if self.part < parts else indices[:0]

    def order(self, epoch: int) -> Tensor:
        """(N,) int64: the places of the pictures in the order of `epoch`."""
        places = torch.arange(len(self.set))
        if not self.shuffle:
            return places
        return torch.from_numpy(np.argsort(random_bits(self.seed, epoch, Draw.ORDER, places).numpy(), kind="stable"))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` (from 1), from batch `start` (from 0) on.

        With workers they are prepared ahead, in other threads; the batches are the same. Closing the iterator ends the threads.

        Raises:
            DataError: a picture cannot be prepared; names it.
        """
        order = self.order(epoch)
        ends = [*range(self.batch_size, len(self) * self.batch_size, self.batch_size), len(order)]
        parts = (self._own(order[number * self.batch_size : ends[number]]) for number in range(start, len(self)))
        return prepared(parts, partial(self._named, epoch=epoch), self.workers)

    def _named(self, indices: Tensor, *, epoch: int) -> Batch:
        """One batch; an error names the first picture that has it alone too."""
        try:
            return self._batch(indices, epoch)
        except (OSError, RuntimeError, ValueError):
            for index in indices.tolist():
                try:
                    self._batch(torch.tensor([index]), epoch)
                except (OSError, RuntimeError, ValueError) as error:
                    raise DataError(f"{self.set.paths[index]}: cannot be prepared for training: {error}") from error
            raise

    def _batch(self, indices: Tensor, epoch: int) -> Batch:
        if not len(indices):
            return Batch(self._rows(indices), self.labels[indices.to(self.device)], indices, self._weights(indices), self._second(indices))
        images, labels = self.augmented(self._rows(indices), indices, epoch), self.labels[indices.to(self.device)]
        weights = self._weights(indices)
        if self.augmentation.mixes:
            draws = Draws(self.seed, epoch, indices)
            others = partners(draws, len(self.set))
            images, shares = mixed_pictures(
                images, self.augmented(self._rows(others), others, epoch), draws, self.augmentation.mixup, self.augmentation.cutmix
            )
            labels = mixed_labels(labels, self.labels[others.to(self.device)], shares, len(self.set.classes))
            if weights is not None and (of_others := self._weights(others)) is not None:
                shares = shares.to(weights)
                weights = shares * weights + (1 - shares) * of_others
        return Batch(images, labels, indices, weights, self._second(indices))

    def _second(self, indices: Tensor) -> Tensor | None:
        """(N,) the second labels of some pictures, where there are some."""
        return None if self.second is None else self.second[indices.to(self.device)]

    def _weights(self, indices: Tensor) -> Tensor | None:
        """(N,) those of some pictures; None if all weigh alike."""
        return None if self.weights is None else self.weights[indices.to(self.device)]

    def _rows(self, indices: Tensor) -> Tensor:
        if self.on_device is not None:
            return self.on_device.index_select(0, indices.to(self.device))
        return torch.from_numpy(self.set.images[indices.numpy()]).to(self.device)  # NumPy waits for no other thread

    def augmented(self, images: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """`images` (N, H, W, C) of the samples `indices`, changed as `epoch` has it, but not mixed; others than pictures as they are."""
        if self.set.kind != "pictures":
            return images
        return augmented(images, Draws(self.seed, epoch, indices), self.augmentation, self.components)
