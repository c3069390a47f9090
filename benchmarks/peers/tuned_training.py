"""A loop on PyTorch tuned by hand: `tuned_training NAME DATA STEPS WARMUP BATCH float32|bfloat16`, for `throughput`.

Channels last, Adam in one pass, and in bfloat16 autocast. Small sets lie in memory as uint8 and are cut out, mirrored and normalized a
batch at a time; JPEG files are decoded by libjpeg-turbo in two worker processes. Whoever starts it lets glibc keep freed memory.
torch.compile is left out: on two cores it is slower for these networks, and its first update takes 8 to 33 s.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2
from usual import AREA, LEARNING_RATE, SIDE, Task, answer, asked, statistics_of

from striate.core.images import STATISTICS

if TYPE_CHECKING:
    from torch import Tensor

PAD = 4


def main() -> None:
    """Train for the steps that are asked for."""
    task = asked()
    model = task.model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=sys.argv[6] == "bfloat16")
    while not task.clock.end:
        for images, labels in batches_of(task):
            optimizer.zero_grad()
            with autocast:
                loss = F.cross_entropy(model(images).float(), labels)
            loss.backward()
            optimizer.step()
            if task.clock.tick():
                break
    answer(task)


def batches_of(task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch of normalized pictures (N, C, H, W), channels last, with their labels."""
    if isinstance(task.loader.dataset, ImageFolder):
        transform = v2.Compose([v2.RandomResizedCrop(SIDE, scale=AREA, antialias=True), v2.RandomHorizontalFlip()])
        folder = ImageFolder(task.data, transform, loader=lambda path: decode_jpeg(read_file(path), ImageReadMode.RGB))
        mean, std = STATISTICS["imagenet"]
        for images, labels in DataLoader(folder, task.batch_size, shuffle=True, num_workers=2):
            yield normalized(images, mean, std), labels
        return
    pictures = task.loader.dataset.pictures
    images = torch.from_numpy(pictures.images)  # (n, H, W, C)
    labels, (mean, std) = torch.from_numpy(pictures.labels).long(), statistics_of(pictures)
    for places in torch.randperm(len(images)).split(task.batch_size):
        batch = images[places].permute(0, 3, 1, 2)  # (N, C, H, W), channels last in memory
        if batch.shape[1] == 3:
            batch = mirrored(cut(batch))
        yield normalized(batch, mean, std), labels[places]


def cut(images: Tensor) -> Tensor:
    """Pieces of the pictures' size at a random place of each, after padding."""
    count, _, height, width = images.shape
    padded = F.pad(images, (PAD,) * 4).permute(0, 2, 3, 1)  # (N, H, W, C)
    rows, columns = (torch.randint(0, 2 * PAD + 1, (count, 1)) for _ in range(2))
    rows, columns = rows + torch.arange(height), columns + torch.arange(width)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirrored(images: Tensor) -> Tensor:
    """Every second picture or so the other way round."""
    return torch.where((torch.rand(len(images)) < 0.5)[:, None, None, None], images.flip(3), images)


def normalized(images: Tensor, mean: Any, std: Any) -> Tensor:
    """Floats of mean 0 and deviation 1."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (mean, std))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
