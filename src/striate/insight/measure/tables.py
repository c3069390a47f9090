"""Results as CSV files: UTF-8, a header line, commas, one record per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.tables import csv_text
from striate.insight.measure.classes import MOST_IN_MATRIX, Measures, checked, parts_of
from striate.insight.measure.masks import SegmentMeasures


def write_confusion_csv(path: Path, classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
    """The confusion matrix: a row a true class, a column a predicted class, both named.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    _write(path, ["true \\ predicted", *classes], ([name, *counts] for name, counts in zip(classes, matrix, strict=True)))


def write_confusions_csv(path: Path, classes: Sequence[str], labels: np.ndarray, answers: np.ndarray) -> None:
    """The pairs of a true and a predicted class that occur, in place of a matrix: a row each, the most frequent first.

    Args:
        path: The file to write.
        classes: K names.
        labels: (N,) int, class indices in [0, K).
        answers: (N,) int, those of the predicted classes.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    pairs, counts = np.unique(np.stack([labels, answers], 1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = [
        [classes[true], classes[given], count] for (true, given), count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    ]
    _write(path, ["true", "predicted", "pictures"], rows)


def write_regions_csv(path: Path, measures: SegmentMeasures) -> None:
    """One row per class: its accuracy and IU over the pixels, and its counts; a cell is empty if it is undefined.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    rows = [
        [name, *("" if value is None else _six(value) for value in (one.accuracy, one.iu)), one.pixels, one.predicted]
        for name, one in measures.classes.items()
    ]
    _write(path, ["class", "accuracy", "iu", "pixels", "predicted"], rows)


def write_classes_csv(path: Path, measures: Measures) -> None:
    """One row per class: its rates with their 95 % limits, and its counts; a cell is empty if it is undefined.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    header: list[object] = ["class"]
    for rate in ("precision", "recall", "f1"):
        header += [rate, f"{rate}_low", f"{rate}_high"]
    rows = []
    for name, one in measures.classes.items():
        row: list[object] = [name]
        for value, interval in ((one.precision, one.precision_interval), (one.recall, one.recall_interval), (one.f1, one.f1_interval)):
            row += ["" if number is None else f"{number:.6g}" for number in (value, *(interval or (None, None)))]
        rows.append([*row, one.support, one.predicted])
    _write(path, [*header, "support", "predicted"], rows)


def write_predictions_csv(
    path: Path, names: Sequence[str], probs: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, top: int = 5
) -> None:
    """One row per image: path, label, class, probability, correct, label_probability, then class2, probability2, ... up to `top`.

    Args:
        path: The file to write.
        names: N paths, or other names of the images.
        probs: (N, K) float, rows that sum to 1.
        labels: (N,) int, class indices in [0, K).
        classes: K names, in the order of the columns.
        top: The number of most probable classes to list; ties in the classes' order.

    Raises:
        ShapeError, UsageError, DataError, NumericError: as `measure`.
        EnvironmentFault: the file cannot be written.
    """
    probs, labels = checked(probs, labels, classes)
    if len(names) != len(probs):
        raise UsageError(f"names must have {len(probs)} entries, one per row of probs, got {len(names)}")
    best = np.concatenate([first_of(probs[places], top) for places in parts_of(probs)])  # (N, top)
    header: list[object] = ["path", "label", "class", "probability", "correct", "label_probability"]
    for place in range(2, best.shape[1] + 1):
        header += [f"class{place}", f"probability{place}"]
    rows = []
    for name, row_probs, label, (first, *others) in zip(names, probs, labels, best, strict=True):
        correct = "true" if first == label else "false"
        row: list[object] = [name, classes[label], classes[first], _six(row_probs[first]), correct, _six(row_probs[label])]
        for other in others:
            row += [classes[other], _six(row_probs[other])]
        rows.append(row)
    _write(path, header, rows)


def first_of(probs: np.ndarray, top: int) -> np.ndarray:
    """(N, at most `top`) the places of the largest of each row, ties in the classes' order."""
    if probs.shape[1] <= MOST_IN_MATRIX:
        return np.argsort(-probs, axis=1, kind="stable")[:, :top]
    least = np.partition(probs, -top, axis=1)[:, -top]  # (N,)
    kept = [np.flatnonzero(row >= limit) for row, limit in zip(probs, least, strict=True)]
    return np.stack([places[np.argsort(-row[places], kind="stable")[:top]] for row, places in zip(probs, kept, strict=True)])


def _six(number: float) -> str:
    return f"{number:.6g}"


def _write(path: Path, header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    write_atomically(path, csv_text(header, rows).encode())
