"""timm's loader, optimizer and the core of its `train.py`: `timm_training NAME DATA STEPS WARMUP BATCH`, for `throughput`.

Batches of uint8 come from two worker processes and are normalized whole, as its prefetcher does. Small pictures are cut out and mirrored
by torchvision, as in the usual loop; photos by timm's own transforms.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from usual import AREA, LEARNING_RATE, SIDE, Pictures, Task, answer, asked, statistics_of

from striate.core.images import STATISTICS


class Whole(Pictures):
    """Pictures of a set as uint8 arrays (C, H, W), which timm collates and normalizes."""

    def __init__(self, pictures: Any) -> None:
        super().__init__(pictures)
        augmentation = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()] if pictures.images.shape[3] == 3 else []
        self.cut = v2.Compose([v2.ToImage(), *augmentation, lambda image: image.numpy()])

    def __getitem__(self, index: int) -> Any:
        return self.cut(self.pictures.images[index]), int(self.pictures.labels[index])


def main() -> None:
    """Train for the steps that are asked for."""
    task = asked()
    loader = batches_of(task)
    optimizer = create_optimizer_v2(task.model, opt="adam", lr=LEARNING_RATE, weight_decay=0.0)
    loss_fn = nn.CrossEntropyLoss()
    task.model.train()
    while not task.clock.end:
        for images, labels in loader:
            loss = loss_fn(task.model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if task.clock.tick():
                break
    answer(task)


def batches_of(task: Task) -> Any:
    """The loader of timm."""
    common = {"batch_size": task.batch_size, "is_training": True, "num_workers": 2, "device": torch.device("cpu")}
    if isinstance(task.loader.dataset, ImageFolder):
        mean, std = STATISTICS["imagenet"]
        dataset = create_dataset("", root=task.data)
        return create_loader(dataset, input_size=(3, SIDE, SIDE), scale=AREA, color_jitter=0.0, mean=mean, std=std, **common)
    pictures = task.loader.dataset.pictures
    mean, std = statistics_of(pictures)
    shape = (pictures.images.shape[3], *pictures.images.shape[1:3])
    dataset = Whole(pictures)
    return create_loader(dataset, input_size=shape, mean=mean, std=std, no_aug=True, **common)


if __name__ == "__main__":
    main()
