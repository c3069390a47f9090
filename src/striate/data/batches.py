"""Batches with augmentation as whole-batch tensor operations: no Python per sample.

Order and augmentation are pure functions of (seed, epoch, sample index): neither the batch size nor what was drawn before changes
what happens to a picture, so a run can be continued anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import UsageError
from striate.core.seeds import mixed
from striate.data.records import ImageSet

PadMode = Literal["zero", "reflect"]
MAX_BYTES_ON_DEVICE = 4 * 2**30  # a training set up to this size moves to the GPU as a whole
ORDER_DRAW, SHIFT_DRAW, FLIP_DRAW = 0, 1, 2  # which of a sample's random numbers


class Batch(NamedTuple):
    """Some pictures."""

    images: Tensor  # (N, H, W, C) uint8
    labels: Tensor  # (N,) int64; or (N, K) float32 targets
    indices: Tensor  # (N,) int64 on the CPU, places in the image set


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of the training pictures.

    Attributes:
        crop_padding: A picture is padded by this many pixels on all sides and cut out again at a random place.
        pad_mode: What the padding holds: black, or the picture mirrored at its edge.
        flip: A picture is mirrored left to right with probability 1/2.
    """

    crop_padding: int = 0
    pad_mode: PadMode = "zero"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise UsageError(f"crop_padding must not be negative, got {self.crop_padding}")
        if self.pad_mode not in ("zero", "reflect"):
            raise UsageError(f"pad_mode must be 'zero' or 'reflect', got {self.pad_mode!r}")


def random_bits(seed: int, epoch: int, draw: int, indices: Tensor) -> Tensor:
    """(N,) int64 in [0, 2**63): one random number for each sample index.

    Source: SplitMix64 (Steele, Lea and Flood, 2014), with the state that (seed, epoch, draw) mix to; int64 wraps around as uint64 does.
    """
    state = (indices.to(torch.int64) + 1) * -7046029254386353131 + mixed(seed, epoch, draw)  # 0x9E3779B97F4A7C15
    state = (state ^ _shifted(state, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    state = (state ^ _shifted(state, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    return _shifted(state ^ _shifted(state, 31), 1)


def _shifted(values: Tensor, places: int) -> Tensor:
    """A logical right shift of int64."""
    return (values >> places) & ((1 << (64 - places)) - 1)


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
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        self.augmentation = augmentation or Augmentation()
        height, width = images.images.shape[1:3]
        if self.augmentation.pad_mode == "reflect" and self.augmentation.crop_padding >= min(height, width):
            message = f"crop_padding {self.augmentation.crop_padding} mirrors more than a picture of {height} x {width} has"
            raise UsageError(message, "Choose less, or pad_mode='zero'.")
        self.set, self.batch_size, self.seed, self.shuffle = images, batch_size, seed, shuffle
        self.device = torch.device(device)
        is_number = images.labels.dtype.kind == "f"
        self.labels = torch.from_numpy(np.array(images.labels, np.float32 if is_number else np.int64)).to(self.device)
        self.on_device: Tensor | None = None  # the whole set
        if self.device.type != "cpu" and not isinstance(images.images, np.memmap) and images.images.nbytes <= MAX_BYTES_ON_DEVICE:
            self.on_device = torch.from_numpy(np.require(images.images, requirements=["C", "W"])).to(self.device)

    def __len__(self) -> int:
        full, rest = divmod(len(self.set), self.batch_size)
        return full + (rest > 1 or (rest == 1 and full == 0))

    def order(self, epoch: int) -> Tensor:
        """(N,) int64: the places of the pictures in the order of `epoch`."""
        places = torch.arange(len(self.set))
        if not self.shuffle:
            return places
        return torch.from_numpy(np.argsort(random_bits(self.seed, epoch, ORDER_DRAW, places).numpy(), kind="stable"))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` (from 1), from batch `start` (from 0) on."""
        order = self.order(epoch)
        for number in range(start, len(self)):
            stop = len(order) if number == len(self) - 1 else (number + 1) * self.batch_size
            indices = order[number * self.batch_size : stop]
            images = self._rows(indices)
            yield Batch(self.augmented(images, indices, epoch), self.labels[indices.to(self.device)], indices)

    def _rows(self, indices: Tensor) -> Tensor:
        if self.on_device is not None:
            return self.on_device.index_select(0, indices.to(self.device))
        return torch.from_numpy(self.set.images[indices.numpy()]).to(self.device)  # NumPy waits for no other thread

    def augmented(self, images: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """`images` (N, H, W, C) of the samples `indices`, changed as `epoch` has it."""
        pad = self.augmentation.crop_padding
        if pad:
            bits = random_bits(self.seed, epoch, SHIFT_DRAW, indices)
            span = 2 * pad + 1
            images = shifted_crops(images, bits % span, (bits // span) % span, pad, self.augmentation.pad_mode)
        if self.augmentation.flip:
            mirrored = (random_bits(self.seed, epoch, FLIP_DRAW, indices) & 1).bool()
            images = flipped(images, mirrored)
        return images


def flipped(images: Tensor, mirrored: Tensor) -> Tensor:
    """uint8 (N, H, W, C) with those pictures mirrored left to right for which `mirrored` (N,) is true."""
    places = mirrored.nonzero().view(-1).to(images.device)
    return images.index_copy(0, places, images.index_select(0, places).flip(2))


def shifted_crops(images: Tensor, top: Tensor, left: Tensor, pad: int, mode: PadMode) -> Tensor:
    """Pad uint8 (N, H, W, C) by `pad` on all sides and cut (H, W) out of each at its own `top`, `left` (N,) in [0, 2 pad]."""
    count, height, width, channels = images.shape
    padded = torch.nn.functional.pad(images, (0, 0, pad, pad, pad, pad))
    if mode == "reflect":
        _mirror_edges(padded, 2, pad)
        _mirror_edges(padded, 1, pad)
    row_bytes = width * channels
    flat = padded.view(-1)
    windows = flat.as_strided((flat.numel() - row_bytes + 1, row_bytes), (1, 1))  # every run of one output row's bytes
    device = images.device
    rows = torch.arange(count, device=device)[:, None] * (height + 2 * pad) + top.to(device)[:, None] + torch.arange(height, device=device)
    starts = (rows * (width + 2 * pad) + left.to(device)[:, None]) * channels  # (N, H)
    return windows.index_select(0, starts.view(-1)).view(count, height, width, channels)


def _mirror_edges(padded: Tensor, axis: int, pad: int) -> None:
    """Fill the first and last `pad` places of `axis` with what lies inside, mirrored; the edge itself is not repeated."""
    size = padded.shape[axis]
    padded.narrow(axis, 0, pad).copy_(padded.narrow(axis, pad + 1, pad).flip(axis))
    padded.narrow(axis, size - pad, pad).copy_(padded.narrow(axis, size - 2 * pad - 1, pad).flip(axis))
