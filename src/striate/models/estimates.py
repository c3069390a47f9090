"""Predictions of a model that gives numbers, or several labels per picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core.targets import TargetSpec, Task
from striate.models.answers import Answers


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-z), for any z."""
    small = np.exp(-np.abs(logits))
    shares: np.ndarray = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    return shares


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The answer for one picture.

    Attributes:
        path: Its file, or its place in an array.
        values: Each output by its name: a number in the user's units, or the probability of the label.
        labels: The labels whose probability is above 1/2; None if the outputs are numbers.
    """

    path: str
    values: dict[str, float]
    labels: tuple[str, ...] | None = None

    @property
    def words(self) -> str:
        """The answer in a line: the numbers by name, or the labels that are there with their probabilities."""
        if self.labels is None:
            return ", ".join(f"{name} {value:.6g}" for name, value in self.values.items())
        return ", ".join(f"{name} {self.values[name]:.1%}" for name in self.labels) or "none"


def _of_numbers(path: str, names: Sequence[str], row: np.ndarray) -> Estimate:
    return Estimate(path=path, values=dict(zip(names, row.tolist(), strict=True)))


def _of_labels(path: str, names: Sequence[str], row: np.ndarray) -> Estimate:
    labels = tuple(name for name, logit in zip(names, row, strict=True) if logit > 0)
    return Estimate(path=path, values=dict(zip(names, sigmoid(row).tolist(), strict=True)), labels=labels)


OF_ROW: dict[Task, Callable[[str, Sequence[str], np.ndarray], Estimate]] = {"regression": _of_numbers, "multilabel": _of_labels}


class Estimates(Answers[Estimate]):
    """The answers for several pictures, in their order."""

    def __init__(self, items: Sequence[Estimate], names: Sequence[str]) -> None:
        super().__init__(items)
        self.names = tuple(names)

    @classmethod
    def of_outputs(cls, paths: Sequence[str], outputs: np.ndarray, names: Sequence[str], targets: TargetSpec) -> Estimates:
        """The predictions from the outputs (N, K) of a model."""
        of_row = OF_ROW[targets.task]
        return cls([of_row(path, names, row) for path, row in zip(paths, outputs, strict=True)], names)

    def to_data(self) -> list[dict[str, Any]]:
        """Plain records: path and values; of labels path, labels and probabilities."""
        return [
            {"path": item.path, "values": item.values}
            if item.labels is None
            else {"path": item.path, "labels": list(item.labels), "probabilities": item.values}
            for item in self.items
        ]

    def to_rows(self) -> list[list[object]]:
        """The records as a table with its header: path, then each output by its name; of labels those that are there come before."""
        with_labels = any(item.labels is not None for item in self.items)
        rows: list[list[object]] = [["path", *(["labels"] if with_labels else []), *self.names]]
        for item in self.items:
            labels = [] if item.labels is None else ["; ".join(item.labels)]
            form = ".9g" if item.labels is None else ".6f"
            rows.append([item.path, *labels, *(format(value, form) for value in item.values.values())])
        return rows
