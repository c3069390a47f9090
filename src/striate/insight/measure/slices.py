"""The accuracy of a classifier on parts of its pictures: of each person, camera or day."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import UnknownNameError, UsageError
from striate.core.files import write_atomically
from striate.core.intervals import wilson_interval
from striate.core.tables import csv_text
from striate.insight.measure.classes import Interval

Slices = dict[str, dict[str, "SliceMeasures"]]  # column -> its value -> of the pictures with that value


@dataclass(frozen=True, kw_only=True)
class SliceMeasures:
    """The pictures with one value in a column."""

    num_images: int
    accuracy: float
    accuracy_interval: Interval  # 95 %, Wilson


def slices_of(right: np.ndarray, columns: Mapping[str, np.ndarray], names: tuple[str, ...]) -> Slices:
    """The accuracy for each value of some columns, the least accurate first.

    Args:
        right: (N,) bool, which pictures were classified correctly.
        columns: (N,) text of each column of the data.
        names: The columns to go by.

    Raises:
        UnknownNameError: there is no such column; gives the nearest.
        UsageError: the data has no columns.
    """
    if names and not columns:
        raise UsageError("`slices`: the data is no table of pictures", "Give a table with a row for each picture, and that column.")
    found: Slices = {}
    for name in names:
        if name not in columns:
            raise UnknownNameError("column in `slices`", name, columns, f"It has {', '.join(list(columns)[:20])}.")
        values, places = np.unique(columns[name], return_inverse=True)
        counts, hits = (np.bincount(places, weights, len(values)).astype(int).tolist() for weights in (None, right))
        parts = {
            str(value): SliceMeasures(num_images=count, accuracy=hit / count, accuracy_interval=wilson_interval(hit, count))
            for value, count, hit in zip(values, counts, hits, strict=True)
        }
        found[name] = dict(sorted(parts.items(), key=lambda item: item[1].accuracy))
    return found


def write_slices_csv(path: Path, slices: Slices) -> None:
    """One row for each value of each column: its accuracy with 95 % limits, and its pictures.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    rows = [
        [column, value, *(f"{number:.6g}" for number in (one.accuracy, *one.accuracy_interval)), one.num_images]
        for column, parts in slices.items()
        for value, one in parts.items()
    ]
    write_atomically(path, csv_text(["column", "value", "accuracy", "accuracy_low", "accuracy_high", "pictures"], rows).encode())
