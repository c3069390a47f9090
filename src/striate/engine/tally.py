"""The sums of an epoch while it runs."""

from __future__ import annotations

import math
from typing import Any

import torch

from striate.engine.step import StepResult


class Tally:
    """An epoch's sums so far. They stay on the device until they are read."""

    def __init__(self, device: torch.device) -> None:
        exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's has no float64
        self.loss = torch.zeros((), device=device, dtype=exact)
        self.correct = torch.zeros((), device=device, dtype=exact)
        self.seen = self.steps = 0
        self.seconds = 0.0  # before the present part of the epoch

    def add(self, result: StepResult) -> None:
        """Count one update."""
        self.loss += result.loss
        self.correct += result.correct
        self.seen += result.num_images
        self.steps += 1

    @property
    def is_finite(self) -> bool:
        """Return whether each loss was finite; waits for the device."""
        return math.isfinite(self.loss.item())

    def state(self) -> dict[str, float]:
        """The sums, as plain numbers that are exact."""
        return {
            "loss": self.loss.item(), "correct": self.correct.item(), "seen": self.seen, "steps": self.steps, "seconds": self.seconds
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state from `state`."""
        self.loss.fill_(state["loss"])
        self.correct.fill_(state["correct"])
        self.seen, self.steps, self.seconds = int(state["seen"]), int(state["steps"]), float(state["seconds"])
