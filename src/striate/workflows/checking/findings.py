"""The findings of a check in words, the most severe first."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from striate.core.errors import DataError
from striate.core.targets import Task
from striate.data.findings import DataFinding
from striate.data.omissions import Omission, some
from striate.workflows.checking.record import Copies, FitLoss, Judged, LabelError, ShortcutFound, Unreadable
from striate.workflows.checking.structure import finding
from striate.workflows.checking.surveying import Picture

MANY = 0.05  # of the pictures, from which on a flaw is a warning
CUT = 0.25  # of a picture's area on average, from which on a fit is told
ORDER = {"error": 0, "warning": 1, "note": 2}
FLAWS = {
    "blank": ("of one colour", "Remove them unless their colour alone identifies the class."),
    "dark": ("dark", "Check whether anything can be seen in them."),
    "light": ("overexposed", "Check whether anything can be seen in them."),
    "blurred": ("blurred", "Check whether the subject can be told."),
    "empty": ("nearly empty", "Check whether they show a subject."),
    "odd_shape": ("of an odd shape", "Cut them to their subject: a network's input is nearly square."),
}


def sorted_findings(found: Iterable[DataFinding], pictures: Sequence[Picture]) -> tuple[DataFinding, ...]:
    """The most severe first, else in their order; their words name pictures below the data's folder."""
    folder = next((picture.path.removesuffix(picture.name) for picture in pictures if picture.path.endswith(picture.name)), "")
    begins = rf"(?<![^\s(=:,]){re.escape(folder)}" if folder else r"(?!)"
    short = [dataclasses.replace(one, message=re.sub(begins, "", one.message)) for one in found]
    return tuple(sorted(short, key=lambda one: ORDER[one.severity]))


def of_reading(complaint: DataError | None, *, hopeless: bool, gone: Sequence[str]) -> Iterator[DataFinding]:
    """The complaint of a training, and classes without a readable picture."""
    if complaint is not None and hopeless:
        yield finding("untrainable", complaint.message, complaint.remedy, severity="error")
    elif complaint is not None:
        yield finding("unreadable", complaint.message, complaint.remedy)
    if gone:
        message = f"no readable training picture of class {some([repr(name) for name in gone])}"
        yield finding("untrainable", message, "Add pictures, or remove the folder.", severity="error", names=gone)


def of_files(unreadable: Sequence[Unreadable], left_out: Sequence[Omission], pictures: Sequence[Picture]) -> Iterator[DataFinding]:
    """Files that cannot be read, were left out, or hold several pictures."""
    if unreadable:
        paths = [one.path for one in unreadable]
        what = "a picture" if len(paths) == 1 else "pictures"
        message = f"{_count(paths)} cannot be read as {what}: {some(paths)} ({unreadable[0].reason})"
        remedy = "Remove or repair them, or leave them out with `skip_unreadable=True`."
        yield finding("unreadable", message, remedy, evidence=len(paths), names=paths)
    for omission in left_out:
        yield finding(
            "left_out", omission.words, "Nothing to do if they do not belong to the data.", severity="note", evidence=omission.count
        )
    if several := [picture.path for picture in pictures if picture.frames]:
        message = f"{_count(several)} with several frames or pages, of which the first is read: {some(several)}"
        yield finding("frames", message, "Nothing to do if the first shows the subject.", severity="note", evidence=len(several))


def of_copies(groups: Sequence[Copies], task: Task = "classify") -> Iterator[DataFinding]:
    """Leaks between splits, pictures with two labels, and other copies."""
    noun, alike = ("masks" if task == "segment" else "labels"), ("class and split" if task == "classify" else "split")
    leaks = [group for group in groups if group.is_leak]
    if leaks:
        count = sum(sum(split != "train" for split in group.splits) for group in leaks)
        nearly = sum(group.by != "pixels" for group in leaks)
        message = f"{_pictures(count)} held out {_is(count)} in another split too{_nearly(nearly, len(leaks))}: {_equations(leaks)}"
        remedy = "Remove them from the training split: pictures that were trained on count as correct, so the accuracy is too high."
        yield finding("leaks", message, remedy, severity="error", evidence=count, names=[path for group in leaks for path in group.paths])
    twice = [group for group in groups if group.is_two_labels]
    if twice:
        nearly = sum(group.by != "pixels" for group in twice)
        message = f"{_pictures(len(twice))} with two {noun}{_nearly(nearly, len(twice))}: {_equations(twice, labels=True)}"
        remedy = f"Only one of the {noun} can be right: remove the copy with the wrong one."
        yield finding("two_labels", message, remedy, evidence=len(twice), names=[path for group in twice for path in group.paths])
    plain = [group for group in groups if not group.is_leak and not group.is_two_labels]
    for by, kind, word in (("pixels", "duplicates", "the same"), ("hash", "near_duplicates", "nearly the same"),
                           ("network", "near_duplicates", "of nearly the same content, by the network")):  # fmt: skip
        if chosen := [group for group in plain if group.by == by]:
            extra = sum(len(group.paths) - 1 for group in chosen)
            message = f"{_pictures(extra)} {_is(extra)} {word} as another of the same {alike}: {_equations(chosen)}"
            remedy = "Keep one of each: where some are held out of the training split, copies make the accuracy too high."
            yield finding(kind, message, remedy, evidence=extra, names=[path for group in chosen for path in group.paths])  # type: ignore[arg-type]


def of_flaws(flaws: Mapping[str, Sequence[str]], total: int) -> Iterator[DataFinding]:
    """Pictures that are dark, blurred, ..."""
    for kind, paths in flaws.items():
        word, remedy = FLAWS[kind]
        message = f"{len(paths):,} of {total:,} pictures {_is(len(paths))} {word}: {some(paths)}"
        grave = kind == "blank" or len(paths) >= MANY * total
        yield finding("flaws", message, remedy, severity="warning" if grave else "note", evidence=len(paths), names=paths)


def of_shortcuts(found: Sequence[ShortcutFound], contents: frozenset[str]) -> Iterator[DataFinding]:
    """Properties that give the class away."""
    for one in found:
        whom = f", and tells {some([repr(name) for name in one.classes])} from all others" if one.classes else ""
        message = f"{one.property} alone predicts the class of {one.accuracy:.0%} of training pictures (guessing: {one.chance:.0%}){whom}"
        remedy = (
            "A network will learn it instead of the subject: give all classes the same, or take pictures of all classes from all sources."
        )
        natural = one.property in contents
        if natural:
            remedy = "Nothing to do if the subjects differ in it by nature; else take pictures of all classes in the same conditions."
        yield finding(
            "shortcut",
            message,
            remedy,
            severity="note" if natural else "warning",
            where="train",
            evidence=one.accuracy,
            unit="balanced accuracy",
        )


def of_labels(errors: Sequence[LabelError], judged: Judged | None, not_judged: tuple[str, str] | None) -> Iterator[DataFinding]:
    """Labels that are probably wrong; or the reason why they were not judged, and the remedy."""
    if not_judged is not None:
        yield finding("not_judged", *not_judged, severity="note")
    if errors and judged is not None:
        shown = some([f"{one.path} ({one.label}, rather {one.suggested})" for one in errors])
        message = f"{len(errors):,} of {judged.num_images:,} labels {_is(len(errors))} doubtful: {shown}"
        remedy = "Look at them on the page, the most doubtful first, and move the pictures whose labels are wrong."
        yield finding("label_errors", message, remedy, evidence=len(errors), names=[one.path for one in errors])


def of_fits(fits: Sequence[FitLoss]) -> Iterator[DataFinding]:
    """The usual fit, if it would cut off much."""
    crop = next((one for one in fits if one.fit == "crop"), None)
    if crop is not None and crop.cut >= CUT:
        message = f"`fit='crop'` cuts off {crop.cut:.0%} of the pictures' area on average"
        yield finding(
            "fit",
            message,
            "Train with `fit='pad'` if subjects reach to the edges.",
            severity="note",
            evidence=crop.cut,
            unit="share of the area",
        )


def counted(words: Sequence[str]) -> dict[str, int]:
    """The count of each word, the most frequent first; without empty ones."""
    return dict(Counter(word for word in words if word).most_common())


def _count(paths: Sequence[str]) -> str:
    return "1 file" if len(paths) == 1 else f"{len(paths):,} files"


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _nearly(count: int, total: int) -> str:
    return "" if not count else ", nearly the same" if count == total else f" ({count:,} of {total:,} nearly the same)"


def _equations(groups: Sequence[Copies], *, labels: bool = False) -> str:
    texts = []
    for group in groups:
        names = [f"{path} ({label})" for path, label in zip(group.paths, group.labels, strict=True)] if labels else list(group.paths)
        texts.append(" = ".join(names[:3]) + (f" = {len(names) - 3} more" if len(names) > 3 else ""))
    return "; ".join(texts[:3]) + (f" and {len(texts) - 3:,} more" if len(texts) > 3 else "")
