"""The data and the network of `throughput` as a tutorial would have them, for loops that are built on PyTorch.

Each program is asked `PROGRAM NAME DATA STEPS WARMUP BATCH`; DATA is a named set, or a folder with a folder of JPEG files for each class,
of which pieces of 35 % of the area and more are cut out, brought to 224 x 224 and mirrored.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import striate
from striate.core.images import STATISTICS
from striate.data.sources import open_data

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.data.records import ImageSet

LEARNING_RATE = 1e-3
SIDE, AREA = 224, (0.35, 1.0)


class Pictures(Dataset["tuple[Tensor, int]"]):
    """Pictures normalized one by one; those in colour cut out at a random place after padding by 4, and mirrored."""

    def __init__(self, pictures: ImageSet) -> None:
        self.pictures, self.classes = pictures, pictures.classes
        mean, std = statistics_of(pictures)
        augmentation = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()] if pictures.images.shape[3] == 3 else []
        self.transform = v2.Compose([v2.ToImage(), *augmentation, v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures.images[index]), int(self.pictures.labels[index])


def photos(folder: Path) -> ImageFolder:
    """Photos as torchvision's training reference has them."""
    steps = [v2.RandomResizedCrop(SIDE, scale=AREA, antialias=True), v2.RandomHorizontalFlip(), v2.ToImage()]
    return ImageFolder(str(folder), v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(*STATISTICS["imagenet"])]))


class Task(NamedTuple):
    """What a program is asked for."""

    model: nn.Module
    loader: DataLoader[tuple[Tensor, int]]
    data: str
    steps: int
    warmup: int
    batch_size: int
    clock: Clock


class Clock:
    """The time after the first update, after the warm-up, and at the end."""

    def __init__(self, warmup: int, steps: int) -> None:
        self.warmup, self.steps, self.done = warmup, steps, 0
        self.first = self.begin = self.end = 0.0

    def tick(self) -> bool:
        """Count an update; true after the last."""
        self.done += 1
        now = time.perf_counter()
        if self.done == 1:
            self.first = time.time() - float(os.environ["STARTED"])
        if self.done == self.warmup:
            self.begin = now
        if self.done == self.warmup + self.steps:
            self.end = now
        return self.done >= self.warmup + self.steps


def asked() -> Task:
    """The task on the command line."""
    name, data, steps, warmup, batch = sys.argv[1:6]
    pictures: Any = photos(Path(data)) if Path(data).is_dir() else Pictures(open_data(data).read("train"))
    torch.manual_seed(0)
    channels, height, _ = pictures[0][0].shape
    model = striate.network(name, num_classes=len(pictures.classes), in_channels=channels, input_size=height).build()
    loader = DataLoader(pictures, int(batch), shuffle=True, num_workers=2)
    return Task(model, loader, data, int(steps), int(warmup), int(batch), Clock(int(warmup), int(steps)))


def answer(task: Task) -> None:
    """Print a line of JSON: parameters, images a second after the warm-up, seconds to the end of the first update."""
    clock = task.clock
    speed = task.steps * task.batch_size / (clock.end - clock.begin)
    parameters = sum(weight.numel() for weight in task.model.parameters())
    print(json.dumps({"parameters": parameters, "images_per_second": speed, "first_step_seconds": clock.first}))


def statistics_of(pictures: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over every fiftieth picture, in [0, 1]."""
    pixels = pictures.images[::50].reshape(-1, pictures.images.shape[3]) / 255
    return tuple(pixels.mean(0).tolist()), tuple(pixels.std(0).tolist())
