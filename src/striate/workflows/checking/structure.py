"""Findings on the classes and folders of a data set: names, numbers, and folders that are hardly classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from striate.data.findings import DataFinding, Kind, Severity
from striate.data.layout import NO_CLASSES
from striate.data.omissions import some
from striate.data.records import alike_in_words
from striate.workflows.checking.surveying import Picture, Survey

FAR, LARGER = 10, 3  # times as many pictures in a class as in another: a warning, a note
FEW = 10  # pictures of a class, below which little can be learned or measured
# Words of folders that programs and people leave beside the classes.
NO_NAMES = frozenset((*NO_CLASSES, "untitled", "folder", "checkpoint", "checkpoints", "copy", "duplicates", "unknown", "unsorted", "todo",
                      "trash", "output", "results", "cache", "thumbs", "thumbnails", "test", "val", "train"))  # fmt: skip


def finding(
    kind: Kind,
    message: str,
    remedy: str,
    *,
    severity: Severity = "warning",
    where: str = "data",
    evidence: float = 1.0,
    unit: str = "pictures",
    names: Sequence[str] = (),
) -> DataFinding:
    """A finding of a check; by default of the whole data."""
    found = {"kind": kind, "severity": severity, "where": where, "evidence": evidence, "unit": unit}
    return DataFinding(**found, message=message, remedy=remedy, names=tuple(names))  # type: ignore[arg-type]  # of these types


def of_classes(
    name: str, counts: Mapping[str, Mapping[str, int]], pictures: Sequence[Picture], classes: Sequence[str]
) -> Iterator[DataFinding]:
    """The findings on names and sizes of classes, and on folders.

    Args:
        name: Of the data.
        counts: The pictures of each class in each split.
        pictures: All of them.
        classes: Their names.
    """
    for words in alike_in_words(name, classes):
        yield finding("class_names", words.removeprefix(f"{name}: "), "Rename the folders so that each class has one name.")
    odd = [one for one in classes if any(word in NO_NAMES for word in re.findall(r"[^\W\d_]+", one.lower()))]
    if odd:
        remedy = "Move them out of the data unless they are classes."
        yield finding(
            "odd_folders", f"classes whose names are hardly those of classes: {some([repr(one) for one in odd])}", remedy, names=odd
        )
    yield from _sizes(counts)
    yield from _nested(pictures, classes)


def classes_gone(seen: Survey, classes: Sequence[str]) -> list[str]:
    """The classes of which the training split has pictures, but none that can be read."""
    there = {picture.label for picture in seen.pictures if picture.split == "train"}
    read = {picture.label for picture in seen.readable if picture.split == "train"}
    return [name for label, name in enumerate(classes) if label in there - read]


def _sizes(counts: Mapping[str, Mapping[str, int]]) -> Iterator[DataFinding]:
    of_train = {name: count for name, count in counts.get("train", {}).items() if count}
    if len(of_train) < 2:
        return
    (small, fewest), *_, (large, most) = sorted(of_train.items(), key=lambda pair: pair[1])
    if most >= LARGER * fewest:
        message = f"class {large!r} has {most:,} training pictures, {small!r} only {fewest:,}: {most / fewest:.1f} times as many"
        remedy = "Add pictures of the small classes, or judge by balanced accuracy: train with `monitor='balanced_accuracy'`."
        far = most >= FAR * fewest
        yield finding(
            "imbalance", message, remedy, severity="warning" if far else "note", where="train", evidence=most / fewest, unit="times"
        )
    if few := [f"{name!r} ({count})" for name, count in of_train.items() if count < FEW]:
        message = f"classes with fewer than {FEW} training pictures: {some(few)}"
        yield finding("few_pictures", message, "Add pictures of them.", severity="note", where="train", evidence=len(few), unit="classes")
    for split in set(counts) - {"train"}:
        if absent := [name for name in of_train if not counts[split].get(name)]:
            message = f"{split} has no picture of class {some([repr(name) for name in absent])}"
            remedy = f"Add some, as {split} does not measure how well that is learned."
            yield finding("few_pictures", message, remedy, severity="note", where=split, evidence=len(absent), unit="classes")


def _nested(pictures: Sequence[Picture], classes: Sequence[str]) -> Iterator[DataFinding]:
    """Folders inside class folders: those called like a class, and how many there are."""
    known = {name.casefold() for name in classes}
    inner: Counter[tuple[str, str]] = Counter()
    for picture in pictures:
        folders = PurePosixPath(picture.name).parts[:-1]
        if picture.label is not None and classes[picture.label] in folders:
            below = folders[folders.index(classes[picture.label]) + 1 :]
            inner.update((classes[picture.label], folder) for folder in below)
    doubtful = {pair: count for pair, count in inner.items() if pair[1].casefold() in known and pair[1] != pair[0]}
    if doubtful:
        words = some([f"{outer}/{folder}/ ({count:,})" for (outer, folder), count in doubtful.items()])
        message = f"folders inside a class folder that are called like another class: {words}; their pictures are read as of the outer one"
        yield finding("nested_folders", message, "Move them to their class.", evidence=sum(doubtful.values()))
    rest = {pair: count for pair, count in inner.items() if pair not in doubtful}
    if rest:
        words = some([f"{outer}/{folder}/ ({count:,})" for (outer, folder), count in rest.items()])
        message = f"folders inside class folders, read as part of the class: {words}"
        remedy = "If these are the classes, name the folder that holds them as the data."
        yield finding("nested_folders", message, remedy, severity="note", evidence=sum(rest.values()))
