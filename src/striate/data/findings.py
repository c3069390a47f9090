"""Findings of the check of a training's pictures, as a record that a run keeps."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

Severity = Literal["error", "warning", "note"]  # error: nothing could be learned, or measured
Kind = Literal[
    "shared_pictures", "two_labels", "flat_pictures", "faint_pictures", "equal_pictures", "masks_of_one_class", "unlabelled_masks",
    "absent_classes",
    # of `striate check`
    "untrainable", "unreadable", "leaks", "duplicates", "near_duplicates", "label_errors", "shortcut", "flaws", "imbalance", "few_pictures",
    "class_names", "odd_folders", "nested_folders", "masks", "empty_masks", "numbers", "fit", "left_out", "frames", "not_judged",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DataFinding:
    """One problem of the data, or a note on it."""

    kind: Kind
    severity: Severity
    where: str  # the split
    evidence: float
    unit: str  # of the evidence
    message: str  # the evidence in a sentence
    remedy: str
    names: tuple[str, ...] = ()  # the pictures it is about

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"
