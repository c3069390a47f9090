"""List the named data sets; open any data set, count its classes and draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.images import Form, ImageSpec
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.core.targets import Task
from striate.core.text import Lines, in_lines
from striate.data.layout import Layout
from striate.data.named import NAMED, is_present
from striate.data.reading import Reading, Role, checked_columns
from striate.data.records import DataSource
from striate.data.sources import open_data
from striate.drawing.sheet import SheetRow, contact_sheet

SIDE = 96  # pixels of the pictures of a sheet where they have many sizes or are large


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """One named data set."""

    name: str
    about: str
    num_train: int
    num_test: int
    num_classes: int
    image: str  # height x width x channels
    present: bool  # on this machine
    url: str


def datasets(data_dir: Path | None = None) -> list[DatasetEntry]:
    """The named data sets, and whether each lies on this machine."""
    return [
        DatasetEntry(
            name=name,
            about=entry.about,
            num_train=entry.num_train,
            num_test=entry.num_test,
            num_classes=entry.num_classes,
            image="x".join(map(str, entry.image_shape)),
            present=is_present(name, data_dir),
            url=entry.url,
        )
        for name, entry in NAMED.items()
    ]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class DatasetRequest:
    """The data set to look at."""

    data: Any  # a named set, a folder, an `.npz` file, arrays (X, y), or an opened source
    split: Literal["train", "val", "test"] | None = None  # that is drawn; the first that there is by default
    num_images: int = Field(default=10, ge=1)  # drawn of each class
    plot: Path | None = None  # PNG
    task: Task | None = None
    layout: Layout = "auto"
    class_from: str | None = None
    columns: dict[Role, str] = Field(default_factory=dict)
    group: str | None = None
    separator: str | None = None
    root: Path | None = None
    skip_unreadable: bool = False
    data_dir: Path | None = None
    download: bool = False


@shown_short
@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """The splits of a data set, and the pictures of each class in them."""

    name: str
    task: str
    classes: tuple[str, ...]
    image: str  # height x width x channels; or "of various sizes"
    splits: dict[str, int]  # pictures
    class_counts: dict[str, dict[str, int]]  # of each split, where a picture has one class
    plot: str | None


def dataset(  # noqa: PLR0913  # all but the data say how it is read
    data: Any,
    *,
    task: Task | None = None,
    input_effect: str | None = None,
    layout: Layout = "auto",
    class_from: str | None = None,
    columns: Mapping[Role, str] | None = None,
    group: str | None = None,
    separator: str | None = None,
    root: Path | None = None,
    skip_unreadable: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
) -> DataSource:
    """A data set, opened: its `splits`, its `classes`, and the arrays of a split by `read`.

    Args:
        data: A named set (`mnist`), a folder, a table of pictures or of numbers, shards, an `.npz` file, or a pair of arrays (X, y).
        task: The task of arrays' targets, which else is inferred; segment reads a folder of pictures and masks, restore of pairs.
        input_effect: Makes inputs of the pictures, which are the targets, as `train` does: noise:25, downscale:2, grey.
        layout: How to read the subfolders of a folder if their names are ambiguous.
        class_from: Which part of a path is the class: top, parent or regex:PATTERN.
        columns: The columns of a table of pictures by what they hold: {"path": "file", "label": "species"}.
        group: The column, or the rule for paths, that tells which pictures belong together.
        separator: The text between the labels of a picture that has several.
        root: The folder that the paths of a table start from; the table's own by default.
        skip_unreadable: Leave out pictures of a folder that cannot be decoded.
        data_dir: The folder of named sets; $STRIATE_DATA or ~/.cache/striate/data by default.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UnknownNameError, DataError, UsageError: as of `striate.data.sources.open_data`.

    Example:
        >>> digits = dataset("digits")
        >>> digits.splits, digits.classes[:3]
        (('train', 'test'), ('0', '1', '2'))
        >>> test = digits.read("test")
        >>> test.images.shape, test.labels.shape
        ((359, 8, 8, 1), (359,))
    """
    folder = Path(data_dir) if data_dir is not None else None
    fields: dict[str, Any] = {"class_from": class_from, "columns": checked_columns(columns or {}), "group": group, "separator": separator}
    reading = Reading(**fields, root=str(root) if root is not None else None)
    how: dict[str, Any] = {"layout": layout, "reading": reading, "skip_unreadable": skip_unreadable}
    how |= {"form": Form(effect=input_effect), "data_dir": folder, "download": download}
    return open_data(data, task=task, to_train=False, **how)


def look_at(request: DatasetRequest, *, say: Callable[[str], None] = lambda _text: None) -> DatasetReport:
    """Count the pictures of each class and split of a data set, and draw some of each class into `plot`.

    Raises:
        UnknownNameError, DataError: as of `striate.data.sources.open_data`, or there is no such split.
        UsageError: what is to be drawn are no pictures.
        EnvironmentFault: the plot cannot be written.
    """
    check_file(request.plot, "plot", (".png",))
    source = open_data(
        request.data,
        data_dir=request.data_dir,
        download=request.download,
        skip_unreadable=request.skip_unreadable,
        task=request.task,
        layout=request.layout,
        reading=Reading.of(request),
        say=say,
        to_train=False,
    )
    counts = {split: source.class_counts(split) for split in source.splits} if source.has_classes else {}
    if request.plot is not None:
        write_atomically(request.plot, sheet(source, request.split or source.splits[0], request.num_images), field="plot")
        say(f"drawn: {request.plot}")
    sides = source.image_size or source.extent
    return DatasetReport(
        name=source.name,
        task=source.task,
        classes=source.classes,
        image="of various sizes" if sides is None else "x".join(map(str, (*sides, source.channels))),
        splits={split: source.num_images(split) for split in source.splits},
        class_counts=counts,
        plot=str(request.plot) if request.plot is not None else None,
    )


def sheet(source: DataSource, split: str, count: int) -> bytes:
    """The first pictures of each class of a split, at most `count`, as a PNG file: those of many sizes or large ones made smaller."""
    if source.kind != "pictures":
        raise UsageError(f"`plot`: {source.name} has {source.kind}, and only pictures can be drawn", "Leave `plot` out.")
    if split not in source.splits:
        raise source.without(split)
    labels, names = source.strata(split)
    places = [np.flatnonzero(labels == label) for label in range(len(names))]
    chosen = [some[:count] for some in places]
    spec = None
    if source.image_size is None or max(source.image_size) > SIDE:
        channels = source.channels
        spec = ImageSpec(height=SIDE, width=SIDE, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit="pad")
    images = source.read(split, spec=spec, places=np.concatenate(chosen)).images
    ends = np.cumsum([len(some) for some in chosen])
    labelled = [(f"{name} ({len(every):,})", len(some), end) for name, every, some, end in zip(names, places, chosen, ends, strict=True)]
    rows = [SheetRow(label, np.asarray(images[end - length : end])) for label, length, end in labelled]
    return contact_sheet(rows, title=f"{source.name}, {split}: the first {count}{' of each class' if source.has_classes else ''}")


def summary(report: DatasetReport) -> Lines:
    """The report as text."""
    splits = ", ".join(f"{count:,} {split}" for split, count in report.splits.items())
    lines = [f"{report.name}: {splits} pictures, {report.image}, task {report.task}, {len(report.classes)} classes", ""]
    if report.class_counts:
        width = max(5, *(len(name) for name in report.classes))
        lines.append(f"{'class':<{width}}" + "".join(f"{split:>9}" for split in report.class_counts))
        lines += [f"{name:<{width}}" + "".join(f"{counts[name]:>9,}" for counts in report.class_counts.values()) for name in report.classes]
    if report.plot:
        lines += ["", f"picture: {report.plot}"]
    return in_lines([*lines, ""])
