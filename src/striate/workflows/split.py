"""Divide pictures into train, val and test: a table that lists them, while the files stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.core.tables import csv_text
from striate.core.targets import Task
from striate.core.text import Lines, command, in_lines
from striate.data.layout import Layout
from striate.data.reading import Reading, Role
from striate.data.records import SPLITS, DataSource
from striate.data.sources import open_data
from striate.data.splits import held_out_places, names_below
from striate.data.written import table_of

Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class SplitRequest:
    """The data, and the shares that are held out of its training pictures."""

    data: Any  # a folder, a table of pictures, or what `dataset` opened
    val: Share = 0.1  # 0: none
    test: Share = 0.1
    group: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    output: Path | None = None  # CSV; NAME-split.csv in the current folder by default
    task: Task | None = None
    layout: Layout = "auto"
    class_from: str | None = None
    columns: dict[Role, str] = Field(default_factory=dict)
    separator: str | None = None
    root: Path | None = None
    skip_unreadable: bool = False


@shown_short
@dataclass(frozen=True, kw_only=True)
class ManifestReport:
    """The table that was written."""

    output: str
    data: str
    splits: dict[str, int]  # pictures
    class_counts: dict[str, dict[str, int]]  # of each split, where a picture has one class
    groups: dict[str, int]  # of each split, where there are groups


def split(request: SplitRequest, *, say: Callable[[str], None] = lambda _text: None) -> ManifestReport:
    """Write a table with a column of splits: stratified, by groups where there are some, the same for the same seed and names.

    Splits that the data has are kept; only those that it lacks are held out of its training pictures.

    Raises:
        UsageError: shares that leave nothing to train on, data without files, or an output that is there already.
        DataError: as of `striate.data.sources.open_data`; or there is too little to hold some out.
        EnvironmentFault: the table cannot be written.
    """
    if request.val + request.test >= 1:
        raise UsageError(f"`val` and `test`: {request.val:g} and {request.test:g} leave nothing to train on", "Give smaller shares.")
    reading = Reading.of(request)
    how: dict[str, Any] = {"task": request.task, "layout": request.layout, "skip_unreadable": request.skip_unreadable}
    source = open_data(request.data, reading=reading, say=say, to_train=False, **how)
    output = request.output or Path(f"{source.name}-split.csv")
    check_file(output, "output", (".csv",))
    if output.exists():
        raise UsageError(f"{output}: is there already", "Give another file as `output`, or remove it: nothing is overwritten.")
    if "train" not in source.splits:
        raise source.without("train")
    if not all(Path(path).is_file() for one in source.splits for path in source.paths(one)):
        raise UsageError(f"{source.name}: its pictures are no files that a table could list", "Give a folder, or a table of pictures.")
    splits = _divided(source, request, say)
    text = csv_text(*table_of(source, splits, output.absolute().parent))
    write_atomically(output, text.encode(errors="surrogateescape"), field="output")
    groups = _of_each(source, splits, lambda own: source.facts(own).groups)
    labels = _of_each(source, splits, lambda own: source.strata(own)[0] if source.has_classes else None)
    return ManifestReport(
        output=str(output),
        data=source.name,
        splits={name: sum(int((each == name).sum()) for each in splits.values()) for name in SPLITS},
        class_counts={
            name: {kind: int((found == index).sum()) for index, kind in enumerate(source.classes)} for name, found in labels.items()
        },
        groups={name: len(np.unique(found)) for name, found in groups.items()},
    )


def _divided(source: DataSource, request: SplitRequest, say: Callable[[str], None]) -> dict[str, np.ndarray]:
    """The new split of each picture, for each split that the data has."""
    splits = {own: np.full(source.num_images(own), own) for own in source.splits}
    labels, classes = source.strata("train")
    names, groups = names_below(source.paths("train")), source.facts("train").groups
    left = 1.0
    for name, share in (("test", request.test), ("val", request.val)):
        if name in source.splits:
            say(f"{name}: kept as {source.name} has it")
        elif share:
            rest = np.flatnonzero(splits["train"] == "train")
            some = None if groups is None else groups[rest]
            chosen = [names[place] for place in rest.tolist()]
            held_out = held_out_places(labels[rest], chosen, classes, fraction=share / left, seed=request.seed, groups=some)
            splits["train"][rest[held_out]] = name
            left -= share
    return splits


def _of_each(source: DataSource, splits: dict[str, np.ndarray], of: Callable[[str], np.ndarray | None]) -> dict[str, np.ndarray]:
    """A fact of the pictures of each new split, by that; empty where the data does not tell it."""
    told = {own: found for own in source.splits if (found := of(own)) is not None}
    by_split = {name: [found[splits[own] == name] for own, found in told.items()] for name in SPLITS}
    return {name: joined for name, found in by_split.items() if found and len(joined := np.concatenate(found))}


def summary(report: ManifestReport) -> Lines:
    """The report as text."""
    counts = ", ".join(f"{count:,} {name}" for name, count in report.splits.items() if count)
    groups = [f"groups: {', '.join(f'{count:,} {name}' for name, count in report.groups.items())}"] if report.groups else []
    lines = [f"{report.data}: {counts} pictures", *groups]
    if report.class_counts:
        width = max(5, *(len(name) for one in report.class_counts.values() for name in one))
        lines += ["", f"{'class':<{width}}" + "".join(f"{name:>9}" for name in report.class_counts)]
        for kind in next(iter(report.class_counts.values())):
            lines.append(f"{kind:<{width}}" + "".join(f"{one[kind]:>9,}" for one in report.class_counts.values()))
    return in_lines([*lines, "", f"written: {report.output}", f"next: {command('striate', 'train', Path(report.output))}", ""])
