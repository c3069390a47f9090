"""What each process of `test_data_parallel` does: trains a small network in several ways and leaves what it got as arrays.

[torchrun --nproc-per-node N] two_processes.py FOLDER NORM-DTYPE ...        NORM: none, own or together; DTYPE: float64 or float32
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
from striate.engine.processes import ProcessGroup, joined
from striate.engine.settings import TrainSettings


class Net(nn.Module):
    """Pictures (n, 5, 7, 1) uint8 to logits (n, 3), in `dtype`."""

    def __init__(self, *, norm: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU(), nn.Flatten(), nn.Linear(60, 3)
        ).to(dtype)
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images.permute(0, 3, 1, 2).to(self.dtype) / 255)


def main(folder: Path, ways: list[str]) -> None:
    with joined("cpu") as group:
        for way in ways:
            train_and_keep(folder, way, group)


def train_and_keep(folder: Path, way: str, group: ProcessGroup | None) -> None:
    norm, dtype = way.split("-")
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (27, 5, 7, 1)).astype(np.uint8)
    pictures = ImageSet("noise", "train", images, numbers.integers(0, 3, 27), ("a", "b", "c"), tuple(map(str, range(27))))
    settings = TrainSettings(
        epochs=2, batch_size=9, learning_rate=0.05, schedule="constant", warmup_epochs=0, precision="float32", device="cpu",
        max_grad_norm=1.0, sync_norm=norm == "together",
    )  # fmt: skip
    seen: list[list[int]] = []

    class Logged(Batches):
        def _named(self, indices: torch.Tensor, *, epoch: int):
            seen.append([epoch, *indices.tolist()])
            return super()._named(indices, epoch=epoch)

    rank = group.rank if group is not None else 0
    torch.manual_seed(rank)  # the first one's weights are what all begin with
    net = Net(norm=norm != "none", dtype=getattr(torch, dtype))
    train, val = Logged(pictures, 9, shuffle=True), Batches(pictures, 9)
    if group is not None:
        train.divide(group.rank, group.size)
        val.divide(group.rank, group.size)
    events = list(fit(net, train, settings, val_batches=val, group=group))
    arrays = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    arrays |= {f"gradient of {name}": weight.grad.numpy() for name, weight in net.named_parameters()}
    losses = [[float(event.loss)] for event in events if event.loss is not None]
    rows = [[row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy] for row in (event.row for event in events) if row]
    name = f"{os.environ.get('WORLD_SIZE', '1')}-{way}-{rank}"
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.json").write_text(json.dumps({"seen": seen, "losses": losses, "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
