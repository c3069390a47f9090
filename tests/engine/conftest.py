"""Small models and batches that the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from striate.core.seeds import torch_seed


class Batch(NamedTuple):
    """As the engine takes it."""

    images: Tensor
    labels: Tensor


class FixedBatches:
    """The same batches in every epoch, in the same order; counts the epochs that were begun."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches, self.begun = batches, 0

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        self.begun += 1
        yield from self.batches[start:]


def blobs(num_batches: int, batch_size: int = 12, *, seed: int = 0) -> FixedBatches:
    """Three classes of pictures (2, 6, 8), each brighter in one third of its columns; easy to tell apart."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(num_batches):
        labels = torch.randint(3, (batch_size,), generator=generator)
        images = torch.randn(batch_size, 2, 6, 8, generator=generator)
        for row, label in enumerate(labels.tolist()):
            images[row, :, :, label * 3 : label * 3 + 2] += 2
        batches.append(Batch(images, labels))
    return FixedBatches(batches)


def small_model(*, seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    """Convolution, batch norm, ReLU, pooling, dropout, linear: (N, 2, 6, 8) to (N, 3)."""
    with torch_seed(seed):
        return nn.Sequential(
            nn.Conv2d(2, 5, 3, padding=1),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(5 * 3 * 4, 3),
        )


@pytest.fixture
def make_batches() -> Callable[..., FixedBatches]:
    """`blobs`."""
    return blobs


@pytest.fixture
def make_model() -> Callable[..., nn.Sequential]:
    """`small_model`."""
    return small_model
