"""fastai's `Learner`, as its documentation has it: `fastai_training NAME DATA STEPS WARMUP BATCH`."""

from __future__ import annotations

import fastai.callback.progress  # noqa: F401  # adds `no_bar` to learners
from fastai.callback.core import Callback, CancelFitException
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import Adam
from torchvision.datasets import ImageFolder
from usual import AREA, LEARNING_RATE, SIDE, Task, answer, asked


class Clocked(Callback):
    """Takes the time, and ends the training."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def after_batch(self) -> None:
        """After an update."""
        if self.task.clock.tick():
            raise CancelFitException


def main() -> None:
    """Train for the steps that are asked for."""
    task = asked()
    if isinstance(task.loader.dataset, ImageFolder):
        data = photos(task)
    else:
        data = DataLoaders(DataLoader(task.loader.dataset, bs=task.batch_size, shuffle=True, num_workers=2), device="cpu")
    learner = Learner(data, task.model, CrossEntropyLossFlat(), opt_func=Adam, lr=LEARNING_RATE, wd=0.0, cbs=Clocked(task))
    with learner.no_bar(), learner.no_logging():
        learner.fit(1 + (task.steps + task.warmup) * task.batch_size // len(task.loader.dataset))
    answer(task)


def photos(task: Task) -> DataLoaders:
    """Photos of a folder, by fastai's own transforms."""
    from fastai.vision.all import Flip, ImageDataLoaders, Normalize, RandomResizedCrop, imagenet_stats

    return ImageDataLoaders.from_folder(
        task.data,
        valid_pct=0.01,
        item_tfms=RandomResizedCrop(SIDE, min_scale=AREA[0]),
        batch_tfms=[Flip(), Normalize.from_stats(*imagenet_stats)],
        bs=task.batch_size,
        num_workers=2,
        device="cpu",
    )


if __name__ == "__main__":
    main()
