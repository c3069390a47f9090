"""Predict many pictures into files of a folder, a part after the other, so that work that was stopped goes on where it ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, UsageError
from striate.core.files import make_folder, write_atomically
from striate.core.images import ImageSpec
from striate.core.reports import shown_short
from striate.core.text import Lines, counted, in_lines, json_text
from striate.data.decode import decode_image
from striate.models.inputs import Given
from striate.models.model import MODEL_NAME, Model
from striate.workflows.predicting.listed import Listed, Shard, list_pictures
from striate.workflows.predicting.parts import need_writer, part_bytes
from striate.workflows.subjects.subject import Subject

if TYPE_CHECKING:
    from striate.workflows.predict import PredictRequest

PART = 4096  # pictures of a file
SAID_EVERY = 10.0  # seconds between two lines of progress
Say = Callable[[str], None]


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

    Files that are there are kept. Held are the pictures of two batches and the rows of a file.

    Raises:
        UsageError: no such shard; the model takes no pictures; or the folder holds answers of other pictures or another model.
        DataError: no pictures are listed.
        EnvironmentFault: a file cannot be written.
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
    listed = list_pictures(request.pictures, say)
    total = min(request.first or listed.total, listed.total)
    mine = len(range(shard.number - 1, total, shard.parts))
    make_folder(folder)
    _refuse_other_work(folder / f"{shard.name}.json", _work_of(subject, listed, request))
    columns = _columns(model, request.top)
    paths = shard.of(islice(listed.paths(), total))
    began, answered, unreadable = time.monotonic(), 0, 0
    said = began
    starts = range(0, mine, PART)
    for number, _ in enumerate(starts):
        file = folder / f"{shard.name}.part-{number:05}.{kind}"
        names = list(islice(paths, PART))
        if file.is_file():
            continue
        rows: list[dict[str, Any]] = []
        for some in _answers(model, names, request):
            rows += some
            now = time.monotonic()
            if now - said > SAID_EVERY:
                said = now
                say(_progress(number * PART + len(rows), mine, (answered + len(rows)) / (now - began)))
        write_atomically(file, part_bytes(kind, columns, rows))
        answered += len(rows)
        unreadable += sum("error" in row for row in rows)
    return ManyReport(
        output=str(folder),
        shard=f"{shard.number}/{shard.parts}",
        num_pictures=mine,
        num_unreadable=unreadable,
        num_answered=answered,
        num_parts=len(starts),
        seconds=time.monotonic() - began,
    )


def _answers(model: Model, names: Sequence[str], request: PredictRequest) -> Iterator[list[dict[str, Any]]]:
    """The rows of pictures, a batch at a time; the next batch is decoded meanwhile."""
    size = request.batch_size
    with ThreadPoolExecutor() as pool:

        def begun(start: int) -> list[Any]:
            return [pool.submit(_decoded, name, model) for name in names[start : start + size]]

        waiting = begun(0)
        for start in range(0, len(names), size):
            found, waiting = [each.result() for each in waiting], begun(start + size)
            yield _rows(model, names[start : start + size], found, request.top)


def _decoded(name: str, model: Model) -> np.ndarray | str:
    """The picture as the model takes it, or why it cannot be read."""
    try:
        return decode_image(Path(name), model.images)  # type: ignore[arg-type]  # of pictures, as `predict_many` has checked
    except DataError as error:
        return error.message


def _rows(model: Model, names: Sequence[str], found: Sequence[np.ndarray | str], top: int) -> list[dict[str, Any]]:
    """A row for each picture, in their order."""
    good = [place for place, each in enumerate(found) if isinstance(each, np.ndarray)]
    rows: list[dict[str, Any]] = [{"path": name, "error": each} for name, each in zip(names, found, strict=True)]
    if good:
        given = Given([names[place] for place in good], np.stack([found[place] for place in good]))
        header, *answers = model.predict(given, top=top, batch_size=len(good)).to_rows()
        for place, answer in zip(good, answers, strict=True):
            rows[place] = dict(zip(map(str, header), answer, strict=True))
    return rows


def _columns(model: Model, top: int) -> list[str]:
    """The columns of every file."""
    blank = np.zeros((1, *model.images.array_shape), np.uint8)
    return [*map(str, model.predict(blank, top=top).to_rows()[0]), "error"]


def _work_of(subject: Subject, listed: Listed, request: PredictRequest) -> dict[str, Any]:
    """The facts that decide the rows of a shard."""
    file = subject.path / MODEL_NAME if subject.path is not None and subject.path.is_dir() else subject.path
    return {
        "model": hashlib.sha256(file.read_bytes()).hexdigest() if file is not None else subject.name,
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
