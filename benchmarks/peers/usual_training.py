"""The loop of most tutorials on PyTorch: `usual_training NAME DATA STEPS WARMUP BATCH`, for `throughput`."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from usual import LEARNING_RATE, answer, asked


def main() -> None:
    """Train for the steps that are asked for."""
    task = asked()
    optimizer = torch.optim.Adam(task.model.parameters(), lr=LEARNING_RATE)
    task.model.train()
    while not task.clock.end:
        for images, labels in task.loader:
            optimizer.zero_grad()
            F.cross_entropy(task.model(images), labels).backward()
            optimizer.step()
            if task.clock.tick():
                break
    answer(task)


if __name__ == "__main__":
    main()
