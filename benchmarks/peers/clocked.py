"""What the programs of `time_to_accuracy` share: `PROGRAM FILE EPOCHS SEED`; FILE holds x_train, y_train, x_val and y_val."""

from __future__ import annotations

import json
import os
import time

import numpy as np


def arrays_of(file: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (n, h, w, c) uint8 and labels to train on, and to test."""
    with np.load(file) as arrays:
        return arrays["x_train"], arrays["y_train"], arrays["x_val"], arrays["y_val"]


def said(epoch: int, accuracy: float) -> None:
    """Print a line of JSON: the epoch, the test accuracy after it, and the seconds since the program was started."""
    print(json.dumps({"epoch": epoch, "accuracy": accuracy, "seconds": time.time() - float(os.environ["STARTED"])}), flush=True)
