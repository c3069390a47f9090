"""A manifest as text: the table of a data set and its splits, as `open_manifest` reads it again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.records import SPLITS, DataSource


def table_of(source: DataSource, splits: Mapping[str, np.ndarray], folder: Path) -> tuple[list[object], list[list[object]]]:
    """The header and the rows of the table, with paths as seen from its folder."""
    more = [name for name in source.facts("train").columns if name not in ("path", "label", "split", "group", "weight")]
    first = source.facts("train")
    own_columns = [name for name, there in (("group", first.groups), ("weight", first.weights)) if there is not None]
    rows: list[list[object]] = []
    for own in source.splits:
        labels, facts = source.parts[own]().labels, source.facts(own)
        given = {"group": facts.groups, "weight": facts.weights}
        for place, path in enumerate(source.paths(own)):
            known = [each[place] for name in own_columns if (each := given[name]) is not None]
            cells = [facts.columns[name][place] for name in more]
            name = os.path.relpath(path, folder).replace(os.sep, "/")
            rows.append([name, _label(source, labels[place]), splits[own][place], *known, *cells])
    rows.sort(key=lambda row: SPLITS.index(str(row[2])))
    return ["path", "label", "split", *own_columns, *more], rows


def _label(source: DataSource, label: Any) -> str:
    """A label as a cell: a class, several with ; between them, or a number."""
    if source.has_classes:
        return source.classes[int(label)]
    if source.task == "multilabel":
        return ";".join(name for name, has in zip(source.classes, label, strict=True) if has)
    return repr(float(label[0]))
