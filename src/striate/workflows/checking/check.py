"""Check a data set before anything is trained on it; nothing of it is changed."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from striate.core.places import check_file, check_folder
from striate.core.reports import write_files
from striate.data.dropped import write_drop_list
from striate.workflows.checking import findings as found
from striate.workflows.checking.dropping import rows_to_drop
from striate.workflows.checking.judging import CONTENT, Verdict, giveaways, judge, network_to_judge
from striate.workflows.checking.masked import Masks, masks_of
from striate.workflows.checking.numbers import class_counts, numbers_in_words, of_numbers
from striate.workflows.checking.opening import Opened, opened
from striate.workflows.checking.page import page
from striate.workflows.checking.record import CheckReport, CheckRequest, ShortcutFound, Unreadable
from striate.workflows.checking.same import Same, described, same_pictures
from striate.workflows.checking.shapes import fit_losses, flaws_of_all, size_of_input, sizes_in_words
from striate.workflows.checking.structure import classes_gone, of_classes
from striate.workflows.checking.surveying import Survey, survey
from striate.workflows.training.runs import new_run_folder


class Observer(Protocol):
    """Is told of messages and of progress."""

    def say(self, text: str) -> None: ...

    def share(self, what: str, done: int, total: int) -> None: ...


def check(request: CheckRequest, *, observer: Observer | None = None) -> CheckReport:
    """Look at every picture of a data set once, and report what is wrong with it, on a page and in a record.

    Raises:
        DataError: there is nothing to look at.
        UsageError, UnknownNameError: no such data, or it holds no pictures.
        EnvironmentFault: the page or the list cannot be written.
    """
    start = time.monotonic()
    check_file(request.output, "output", (".html", ".htm"), makes_folder=True)
    check_file(request.fix_list, "fix_list", (".csv",))
    if request.output is None:
        check_folder(Path("runs") / "check")
    data = opened(request)
    source = data.source
    embedding, not_judged = network_to_judge(request, source)
    watch = (lambda done, every: observer.share("pictures", done, every)) if observer else _unwatched
    seen = survey(source, embedding, watch)
    masks = None if data.pairs is None else masks_of(data.pairs, seen, source.classes, Path(request.data))
    seen = seen if masks is None else masks.pictures
    groups = same_pictures(seen.readable, seen.features if request.deep else None)
    verdict = Verdict([], None, not_judged)
    if seen.features is not None and source.has_classes:
        verdict = judge(seen.readable, seen.features, source.classes, groups, request.seed)
    rows = rows_to_drop(seen, groups, verdict.errors, source.task) + ([] if masks is None else masks.to_drop)
    if request.fix_list is not None:
        write_drop_list(request.fix_list, rows)
    report = reported(request, data, seen, groups, verdict, masks)
    path = request.output or new_run_folder("check", source.name, None) / "index.html"
    report = dataclasses.replace(
        report,
        page=str(path),
        fix_list=None if request.fix_list is None else str(request.fix_list),
        num_dropped=sum(row.drop for row in rows),
        seconds=round(time.monotonic() - start, 1),
    )
    write_files(path.parent, {path.name: page(report, request, source, seen), f"{path.stem}.json": report})
    return report


def reported(
    request: CheckRequest, data: Opened, seen: Survey, groups: Sequence[Same], verdict: Verdict, masks: Masks | None
) -> CheckReport:
    """The report of what was found, without the files that are yet to be written."""
    source, readable = data.source, seen.readable
    counts = class_counts(source) if masks is None else masks.counts
    copies = [described(group, readable, source.task) for group in groups]
    flaws: dict[str, tuple[str, ...]] = {kind: tuple(picture.path for picture in some) for kind, some in flaws_of_all(readable).items()}
    given_away = [
        ShortcutFound(
            property=one.property, accuracy=one.accuracy, chance=one.chance, classes=tuple(source.classes[k] for k in one.classes)
        )
        for one in (giveaways(readable, request.seed) if source.has_classes else ())
    ]
    unreadable = tuple(Unreadable(path=picture.path, reason=picture.error) for picture in seen.pictures if picture.error)
    errors = tuple(error for _, error in verdict.errors)
    fit_size = size_of_input(source, request.image_size)
    fits = tuple(fit_losses(readable, fit_size))
    gone = classes_gone(seen, source.classes) if source.has_classes else []
    findings = found.sorted_findings(
        itertools.chain(
            found.of_reading(data.complaint, hopeless=data.hopeless, gone=gone),
            found.of_files(unreadable, source.left_out, readable),
            masks.findings if masks is not None else (),
            found.of_copies(copies, source.task),
            found.of_labels(errors, verdict.judged, verdict.not_judged),
            found.of_shortcuts(given_away, CONTENT),
            of_classes(source.name, counts, seen.pictures, source.classes) if counts and masks is None else (),
            of_numbers(source),
            found.of_flaws(flaws, len(readable)),
            found.of_fits(fits),
        ),
        seen.pictures,
    )
    return CheckReport(
        data=source.name,
        trainable=not (data.hopeless or gone or (masks is not None and masks.hopeless)),
        num_images=len(seen.pictures),
        splits={split: source.num_images(split) for split in source.splits},
        task=source.task,
        classes={name: sum(of_split[name] for of_split in counts.values()) for name in next(iter(counts.values()))} if counts else {},
        class_counts=counts,
        numbers=numbers_in_words(source),
        sizes=sizes_in_words(readable),
        formats=found.counted([picture.format for picture in readable]),
        modes=found.counted([picture.mode for picture in readable]),
        unreadable=unreadable,
        duplicates=tuple(copy.paths for copy in copies if copy.by == "pixels"),
        near_duplicates=tuple(copy for copy in copies if copy.by != "pixels"),
        leaks=tuple(copy for copy in copies if copy.is_leak),
        two_labels=tuple(copy for copy in copies if copy.is_two_labels),
        flaws=flaws,
        shortcuts=tuple(given_away),
        label_errors=errors,
        judged=verdict.judged,
        fits=fits,
        fit_size=fit_size,
        left_out=source.left_out,
        findings=findings,
        num_dropped=0,
        fix_list=None,
        page=None,
        seconds=0.0,
    )


def _unwatched(_done: int, _total: int) -> None:
    """Nobody watches."""
