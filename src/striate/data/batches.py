"""Batches with augmentation as whole-batch tensor operations: no Python per sample.

Order and augmentation are pure functions of (seed, epoch, sample index): they depend neither on the batch size (augmentation) nor on
what was drawn before, so a run can be continued anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import UsageError
from striate.core.seeds import mixed
from striate.data.records import ImageSet

MAX_BYTES_ON_DEVICE = 4 * 2**30  # a training set up to this size moves to the GPU as a whole
SHIFT_DRAW, FLIP_DRAW = 1, 2  # which of a sample's random numbers


class Batch(NamedTuple):
    """Some pictures."""

    images: Tensor  # (N, H, W, C) uint8
    labels: Tensor  # (N,) int64
    indices: Tensor  # (N,) int64, places in the image set


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of the training pictures.

    Attributes:
        crop_padding: A picture is padded by this many pixels on all sides and cut out again at a random place.
        pad_mode: What the padding holds: black, or the picture mirrored at its edge.
        flip: A picture is mirrored left to right with probability 1/2.
    """

    crop_padding: int = 0
    pad_mode: Literal["zero", "reflect"] = "zero"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise UsageError(f"crop_padding must not be negative, got {self.crop_padding}")


def random_bits(seed: int, epoch: int, draw: int, indices: Tensor) -> Tensor:
    """(N,) int64 in [0, 2**31): one random number for each sample index (SplitMix64's mixing, vectorised)."""
    state = indices.to(torch.int64) * -7046029254386353131 + _signed(mixed(seed, epoch, draw))  # wraps around, as it should
    state = (state ^ _shifted(state, 30)) * -4658895280553007687
    state = (state ^ _shifted(state, 27)) * -7723592293110705685
    return _shifted(state ^ _shifted(state, 31), 33)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _shifted(values: Tensor, places: int) -> Tensor:
    """A logical right shift of int64."""
    return (values >> places) & ((1 << (64 - places)) - 1)


class Batches:
    """The batches of an image set, epoch by epoch.

    Each picture comes exactly once an epoch. A last batch of a single picture, which batch normalization cannot take, joins the batch
    before it.
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
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        self.set, self.batch_size, self.seed, self.shuffle = images, batch_size, seed, shuffle
        self.augmentation = augmentation or Augmentation()
        self.device = torch.device(device)
        self.in_memory = not isinstance(images.images, np.memmap)
        if self.in_memory:
            self.images = torch.from_numpy(np.require(images.images, requirements=["C", "W"]))
        self.labels = torch.from_numpy(np.asarray(images.labels, np.int64)).to(self.device)
        if self.in_memory and self.device.type != "cpu" and self.images.nbytes <= MAX_BYTES_ON_DEVICE:
            self.images = self.images.to(self.device)

    def __len__(self) -> int:
        full, rest = divmod(len(self.set), self.batch_size)
        return full + (rest > 1 or (rest == 1 and full == 0))

    def order(self, epoch: int) -> Tensor:
        """(N,) int64: the places of the pictures in the order of `epoch`."""
        places = torch.arange(len(self.set))
        if not self.shuffle:
            return places
        generator = torch.Generator().manual_seed(mixed(self.seed, epoch))
        return torch.randperm(len(self.set), generator=generator)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` (from 1), from batch `start` (from 0) on."""
        order = self.order(epoch)
        for number in range(start, len(self)):
            stop = len(order) if number == len(self) - 1 else (number + 1) * self.batch_size
            indices = order[number * self.batch_size : stop]
            images = self._rows(indices)
            yield Batch(self.augmented(images, indices, epoch), self.labels[indices.to(self.device)], indices)

    def _rows(self, indices: Tensor) -> Tensor:
        if not self.in_memory:
            return torch.from_numpy(self.set.images[indices.numpy()]).to(self.device)
        return self.images[indices.to(self.images.device)].to(self.device)

    def augmented(self, images: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """`images` (N, H, W, C) of the samples `indices`, changed as `epoch` has it."""
        pad = self.augmentation.crop_padding
        if pad:
            bits = random_bits(self.seed, epoch, SHIFT_DRAW, indices)
            span = 2 * pad + 1
            images = shifted_crops(images, bits % span, (bits // span) % span, pad, self.augmentation.pad_mode)
        if self.augmentation.flip:
            mirrored = (random_bits(self.seed, epoch, FLIP_DRAW, indices) & 1).bool().to(images.device)
            images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
        return images


def shifted_crops(images: Tensor, top: Tensor, left: Tensor, pad: int, mode: Literal["zero", "reflect"]) -> Tensor:
    """Pad uint8 (N, H, W, C) by `pad` on all sides and cut (H, W) out of each at its own `top`, `left` (N,) in [0, 2 pad]."""
    count, height, width, channels = images.shape
    if mode == "zero":
        padded = F.pad(images, (0, 0, pad, pad, pad, pad))
    else:
        padded = F.pad(images.permute(0, 3, 1, 2).float(), (pad,) * 4, mode="reflect").to(torch.uint8).permute(0, 2, 3, 1)
    row_bytes = width * channels
    flat = padded.contiguous().view(-1)
    windows = flat.as_strided((flat.numel() - row_bytes + 1, row_bytes), (1, 1))  # every run of one output row's bytes
    device = images.device
    rows = torch.arange(count, device=device)[:, None] * (height + 2 * pad) + top.to(device)[:, None] + torch.arange(height, device=device)
    starts = (rows * (width + 2 * pad) + left.to(device)[:, None]) * channels  # (N, H)
    return windows.index_select(0, starts.view(-1)).view(count, height, width, channels)
