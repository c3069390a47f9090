"""fastai's `fit_one_cycle` on grey digits, as chapter 13 of its book has it: `fastai_accuracy FILE EPOCHS SEED`, for `time_to_accuracy`.

Five convolutions of stride 2 with batch normalization, batches of 512, a peak rate of 0.1.
"""

from __future__ import annotations

import sys

import fastai.callback.schedule  # noqa: F401  # adds `fit_one_cycle` to learners
import torch
from clocked import arrays_of, said
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

RATE, BATCH_SIZE, WIDTHS = 0.1, 512, (8, 16, 32, 64)


class Said(Callback):
    """Says the accuracy after each epoch."""

    order = 60  # after what records it

    def after_epoch(self) -> None:
        """Print a line."""
        said(self.epoch + 1, float(self.learn.recorder.values[-1][-1]))


def main() -> None:
    """Train, and say the accuracy after each epoch."""
    file, epochs, seed = sys.argv[1:]
    torch.manual_seed(int(seed))
    images, labels, test, test_labels = arrays_of(file)
    data = DataLoaders(
        DataLoader(set_of(images, labels), BATCH_SIZE, shuffle=True), DataLoader(set_of(test, test_labels), BATCH_SIZE), device="cpu"
    )
    parts: list[nn.Module] = []
    for before, width in zip((images.shape[3], *WIDTHS), (*WIDTHS, 10), strict=True):
        kernel = 3 if parts else 5
        parts += [nn.Conv2d(before, width, kernel, 2, kernel // 2), *([nn.ReLU()] * (width != 10)), nn.BatchNorm2d(width)]
    learner = Learner(data, nn.Sequential(*parts, nn.Flatten()), CrossEntropyLossFlat(), metrics=accuracy, cbs=Said())
    with learner.no_logging():
        learner.fit_one_cycle(int(epochs), RATE)


def set_of(images: object, labels: object) -> TensorDataset:
    """Pictures (C, H, W) in [0, 1], with their labels."""
    pictures: Tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return TensorDataset(pictures, torch.from_numpy(labels).long())


if __name__ == "__main__":
    main()
