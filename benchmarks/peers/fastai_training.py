"""fastai's `Learner`, as its documentation has it: `fastai_training NAME DATA STEPS WARMUP BATCH`, for `throughput`."""

from __future__ import annotations

import fastai.callback.progress  # noqa: F401  # adds `no_bar` to learners
from fastai.callback.core import Callback, CancelFitException
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import Adam
from usual import LEARNING_RATE, Task, answer, asked


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
    data = DataLoaders(DataLoader(task.loader.dataset, bs=task.batch_size, shuffle=True, num_workers=2), device="cpu")
    learner = Learner(data, task.model, CrossEntropyLossFlat(), opt_func=Adam, lr=LEARNING_RATE, wd=0.0, cbs=Clocked(task))
    with learner.no_bar(), learner.no_logging():
        learner.fit(1 + (task.steps + task.warmup) * task.batch_size // len(task.loader.dataset))
    answer(task)


if __name__ == "__main__":
    main()
