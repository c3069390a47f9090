"""What each process of `test_attacked_processes` does: trains a linear network against an attack and leaves its weights and rows as JSON.

[torchrun --nproc-per-node 2] attacked_processes.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from striate.data.batches import Batches
from striate.data.records import ImageSet
from striate.engine.fit import fit
from striate.engine.processes import joined
from striate.engine.settings import TrainSettings


class Linear(nn.Module):
    """Pictures (n, 5, 7, 1) to two logits, in float64: the attack ends in the same corner of its box wherever it began."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(35, 2).double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.flatten(1).double() / 255)


def main(folder: Path) -> None:
    numbers = np.random.default_rng(0)
    images = numbers.integers(60, 196, (27, 5, 7, 1)).astype(np.uint8)
    pictures = ImageSet("noise", "train", images, numbers.integers(0, 2, 27), ("a", "b"), tuple(map(str, range(27))))
    settings = TrainSettings(
        epochs=2, batch_size=9, learning_rate=0.05, schedule="constant", warmup_epochs=0, precision="float32", device="cpu",
        adversarial="pgd", adversarial_eps=0.05,
    )  # fmt: skip
    with joined("cpu") as group:
        rank = group.rank if group is not None else 0
        torch.manual_seed(rank)  # the first one's weights are what all begin with
        net = Linear()
        train, val = Batches(pictures, 9, shuffle=True), Batches(pictures, 9)
        if group is not None:
            train.divide(group.rank, group.size)
            val.divide(group.rank, group.size)
        rows = [event.row for event in fit(net, train, settings, val_batches=val, group=group) if event.row]
    told = {
        "weights": net.head.weight.tolist(),
        "rows": [[row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy, row.val_robust_accuracy] for row in rows],
    }
    (folder / f"{os.environ.get('WORLD_SIZE', '1')}-{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
