"""Predict many pictures into files of a folder, a part after the other, so that work that was stopped goes on where it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import make_folder, write_atomically
from striate.core.images import ImageSpec
from striate.core.reports import shown_short
from striate.core.text import Lines, counted, in_lines, json_text
from striate.workflows.cluster import check_cluster
from striate.workflows.predicting.answering import Asked, Made, made_part
from striate.workflows.predicting.listed import Listed, Shard, list_pictures
from striate.workflows.predicting.on_ray import parts_on_ray, refuse_without_ray
from striate.workflows.predicting.parts import need_writer
from striate.workflows.runs.hashes import file_hash
from striate.workflows.subjects.subject import Subject

if TYPE_CHECKING:
    from striate.workflows.predict import PredictRequest

PART = 4096  # pictures of a file
SAID_EVERY = 10.0  # seconds between two lines of progress
Say = Callable[[str], None]
Work = tuple[Path, list[str]]  # the file of a part, and its pictures


@shown_short
@dataclass(frozen=True, kw_only=True)
class ManyReport:
    """The files of answers, and how many there are."""

    output: str
    shard: str
    num_pictures: int  # of the shard
    num_unreadable: int  # of those answered now; each has a row that says so
    num_answered: int  # now; the others were answered before
    num_parts: int
    seconds: float


def predict_many(subject: Subject, request: PredictRequest, say: Say) -> ManyReport:
    """Answer the pictures of a shard into `output`: a row for each, also for one that cannot be read, `PART` of them in a file.

    Files that are there are kept. Held are the pictures of two batches and the rows of a file; with `on`, the paths of a few files.

    Raises:
        UsageError: no such shard; the model takes no pictures; or the folder holds answers of other pictures or another model.
        DataError: no pictures are listed.
        EnvironmentFault: a file cannot be written, or there is no such cluster.
    """
    model, folder, kind = subject.trained, request.output, request.output_format
    if folder is None:
        raise UsageError("no place for the answers", "Name a folder: `output='answers'`.")
    if not isinstance(model.images, ImageSpec):
        raise UsageError(f"`output`: the model takes {model.images.kind}, not pictures", "Leave it out, and redirect what is printed.")
    if request.plot is not None or request.maps is not None or request.split is not None:
        raise UsageError("`plot`, `maps`, `split`: are not of many pictures that are answered into files", "Leave `output` out.")
    shard = Shard.read(request.shard)
    need_writer(kind)
    if request.on is not None:
        _refuse_to_send(subject, request.on, request)
    listed = list_pictures(request.pictures, say)
    total = min(request.first or listed.total, listed.total)
    mine = len(range(shard.number - 1, total, shard.parts))
    make_folder(folder)
    _refuse_other_work(folder / f"{shard.name}.json", _work_of(subject, listed, request))
    paths = shard.of(islice(listed.paths(), total))
    parts = [folder / f"{shard.name}.part-{number:05}.{kind}" for number, _ in enumerate(range(0, mine, PART))]
    there = sum(min(PART, mine - PART * number) for number, file in enumerate(parts) if file.is_file())
    work = ((file, names) for file, names in ((file, list(islice(paths, PART))) for file in parts) if not file.is_file())
    began, answered, unreadable = time.monotonic(), 0, 0
    said = began

    def told(rows: int = 0) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said > SAID_EVERY:
            said = now
            done = answered + rows
            say(_progress(there + done, mine, done / (now - began)))

    for file, made in _made(subject, request, work, told):
        write_atomically(file, made.data)
        answered += made.pictures
        unreadable += made.unreadable
        told()
    return ManyReport(
        output=str(folder),
        shard=f"{shard.number}/{shard.parts}",
        num_pictures=mine,
        num_unreadable=unreadable,
        num_answered=answered,
        num_parts=len(parts),
        seconds=time.monotonic() - began,
    )


def _refuse_to_send(subject: Subject, on: str, request: PredictRequest) -> None:
    """Refuse what the workers of a cluster cannot do; raises as `predict_many`."""
    check_cluster(on)
    if subject.path is None or request.module is not None:
        raise UsageError(f"`on={on!r}`: the workers open the model from its file", "Give a run folder or a model file.")
    if request.device not in ("auto", "cpu"):
        raise UsageError(f"`on={on!r}`: the workers compute on processors, got `device` {request.device}", "Leave `device` out.")
    refuse_without_ray(on)


def _made(subject: Subject, request: PredictRequest, work: Iterable[Work], told: Callable[[int], None]) -> Iterator[tuple[Path, Made]]:
    """The parts, made in this process or on the workers of a cluster."""
    asked = Asked(request.output_format, request.top, request.batch_size)
    if request.on is None:
        yield from ((file, made_part(subject.trained, names, asked, told)) for file, names in work)
    elif subject.path is not None and subject.weights is not None:
        yield from parts_on_ray(subject.path.absolute(), file_hash(subject.weights), work, asked, request.on)


def _work_of(subject: Subject, listed: Listed, request: PredictRequest) -> dict[str, Any]:
    """The facts that decide the rows of a shard."""
    return {
        "model": file_hash(subject.weights) if subject.weights is not None else subject.name,
        "pictures": listed.sha256,
        "count": listed.total,
        "first": request.first,
        "top": request.top,
        "format": request.output_format,
        "part": PART,
    }


def _refuse_other_work(record: Path, work: dict[str, Any]) -> None:
    """Write down what a shard is, or compare it with what is there.

    Raises:
        UsageError: the files there are of other work.
    """
    text = json_text(work)
    if not record.is_file():
        write_atomically(record, text.encode())
        return
    try:
        there = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        there = None
    if there != work:
        differ = [name for name in work if not isinstance(there, dict) or there.get(name) != work[name]]
        raise UsageError(
            f"`output` {record.parent}: holds answers of other work ({', '.join(differ)} {'differs' if len(differ) == 1 else 'differ'})",
            "Choose another folder, or remove this one.",
        )


def _progress(done: int, total: int, rate: float) -> str:
    left = int((total - done) / rate) if rate else 0
    return f"{done:,} of {total:,} pictures, {rate:,.0f} a second, about {left // 60} min {left % 60} s left"


def summary(report: ManyReport) -> Lines:
    """The report as text."""
    before = report.num_pictures - report.num_answered
    rate = f", {report.num_answered / report.seconds:,.0f} a second" if report.num_answered else ""
    lines = [
        f"shard {report.shard}: {counted(report.num_pictures, 'picture')} in {counted(report.num_parts, 'file')} of {report.output}",
        f"{report.num_answered:,} answered now{rate}" + (f"; {before:,} were there" if before else ""),
    ]
    if report.num_unreadable:
        lines.append(f"{counted(report.num_unreadable, 'picture')} could not be read: the column `error` says why")
    return in_lines([*lines, ""])
