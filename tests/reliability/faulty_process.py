"""One of two processes that train together, in which something goes wrong: `faulty_process.py none|nan|raises|memory`.

RANK, WORLD_SIZE and MASTER_PORT say which it is. The fault is in process 1, at its third update. Ends with the exit code of its error.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import nn

from striate.core.errors import DataError, StriateError
from striate.data.batches import Batches
from striate.data.records import ImageSet
from striate.engine.fit import fit
from striate.engine.processes import joined
from striate.engine.settings import TrainSettings


class Faulty(nn.Module):
    """A linear network with a fault in its third forward pass."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.passes, self.linear = kind, 0, nn.Linear(35, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        logits = self.linear(images.flatten(1).float() / 255)
        if self.passes == 3 and self.kind == "nan":
            return logits * float("nan")
        if self.passes == 3 and self.kind == "raises":
            raise DataError("pictures/7.png: cannot be read", "Remove it.")
        if self.passes == 3 and self.kind == "memory":
            raise MemoryError("can't allocate memory")
        return logits


def main(kind: str) -> None:
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (48, 5, 7, 1)).astype(np.uint8)
    pictures = ImageSet("noise", "train", images, numbers.integers(0, 3, 48), ("a", "b", "c"), tuple(map(str, range(48))))
    settings = TrainSettings(epochs=2, batch_size=12, learning_rate=0.05, warmup_epochs=0, precision="float32", device="cpu")
    try:
        with joined("cpu") as group:
            train = Batches(pictures, 12, shuffle=True)
            train.divide(group.rank, group.size)
            for event in fit(Faulty(kind if group.rank == 1 else "none"), train, settings, group=group):
                for note in event.notes:
                    print(note)
                print(event.step, flush=True)
    except StriateError as error:
        print(f"{error.kind}: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(sys.argv[1])
