"""Labels as numbers: how many pictures each class has, and what a regression is to estimate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.data.findings import DataFinding
from striate.data.omissions import some
from striate.data.records import DataSource
from striate.workflows.checking.structure import finding

FAR = 10  # times the spread of the middle half that a number lies from the median, from which on it is told
FEWEST = 10  # pictures, below which there is no telling


def class_counts(source: DataSource) -> dict[str, dict[str, int]]:
    """The pictures of each class, or with each label, in each split; empty where pictures have neither."""
    if source.has_classes:
        return {split: source.class_counts(split) for split in source.splits}
    if source.task != "multilabel":
        return {}
    return {split: dict(zip(source.classes, _targets(source, split).sum(0).astype(int).tolist(), strict=True)) for split in source.splits}


def numbers_in_words(source: DataSource) -> dict[str, str]:
    """The least, the median and the largest of each number that is to be estimated."""
    if source.task != "regression":
        return {}
    every = np.concatenate([_targets(source, split) for split in source.splits])
    lowest, middle, highest = every.min(0), np.median(every, 0), every.max(0)
    return {name: f"{lowest[k]:g} to {highest[k]:g} (median {middle[k]:g})" for k, name in enumerate(source.classes)}


def of_numbers(source: DataSource) -> Iterator[DataFinding]:
    """Numbers that are the same for all training pictures, and those far from all others, such as 999 for a missing one."""
    if source.task != "regression" or "train" not in source.splits:
        return
    targets, paths = _targets(source, "train"), source.paths("train")
    for name, values in zip(source.classes, targets.T, strict=True):
        if np.ptp(values) == 0:
            yield finding("numbers", f"{name} is {values[0]:g} for all training pictures", "Look whether the column is the right one.")
            continue
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        is_far = (np.abs(values - middle) > FAR * (high - low)) & (high > low)
        far = np.flatnonzero(is_far).tolist()
        if far and len(values) >= FEWEST:
            shown = some([f"{paths[place]} ({values[place]:g})" for place in far])
            whose = "1 training picture" if len(far) == 1 else f"{len(far):,} training pictures"
            message = f"{name} of {whose} is far from all others ({low:g} to {high:g} in the middle half): {shown}"
            remedy = "Correct them, or leave those rows out: one such number outweighs many pictures in the loss."
            yield finding("numbers", message, remedy, where="train", evidence=len(far), names=[paths[place] for place in far])


def _targets(source: DataSource, split: str) -> np.ndarray:
    """(N, K) those of a split."""
    labels = source.parts[split]().labels
    return labels.reshape(len(labels), -1)
