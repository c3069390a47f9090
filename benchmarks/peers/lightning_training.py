"""Lightning's `Trainer`, as its documentation has it: `lightning_training NAME DATA STEPS WARMUP BATCH`, for `throughput`."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning
import torch
from torch.nn import functional as F
from usual import LEARNING_RATE, Task, answer, asked


class Classifier(lightning.LightningModule):
    """The network with its loss and its optimizer."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task, self.model = task, task.model

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """-> the loss."""
        images, labels = batch
        return F.cross_entropy(self.model(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """-> Adam."""
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    def on_train_batch_end(self, *_arguments: Any) -> None:
        """Take the time."""
        self.task.clock.tick()


def main() -> None:
    """Train for the steps that are asked for."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    task = asked()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_steps=task.steps + task.warmup, accelerator="cpu", **quiet)
    trainer.fit(Classifier(task), task.loader)
    answer(task)


if __name__ == "__main__":
    main()
