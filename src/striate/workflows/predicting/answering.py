"""The answers of a part of many pictures, as the bytes of its file: decoded and computed a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate.core.devices import available_cores
from striate.core.errors import DataError
from striate.data.decode import decode_image
from striate.models.inputs import Given
from striate.models.model import Model
from striate.workflows.predicting.parts import Kind, part_bytes

READING = 4  # threads beside those that decode, for those that wait for a disk


class Asked(NamedTuple):
    """The fields of a request that decide the bytes of a part."""

    kind: Kind
    top: int
    batch_size: int


class Made(NamedTuple):
    """The bytes of a part, and the counts of its pictures."""

    data: bytes
    pictures: int
    unreadable: int


def made_part(model: Model, names: Sequence[str], asked: Asked, told: Callable[[int], None] = lambda _count: None) -> Made:
    """A row for each picture, also for one that cannot be read; `told` is given the number of rows after each batch."""
    rows: list[dict[str, Any]] = []
    for some in _answers(model, names, asked):
        rows += some
        told(len(rows))
    columns = next((list(row) for row in rows if "error" not in row), None)
    if columns is None:  # no picture could be read: those of a blank one
        blank = np.zeros((1, *model.images.array_shape), np.uint8)
        columns = [*map(str, model.predict(blank, top=asked.top).to_rows()[0])]
    return Made(part_bytes(asked.kind, [*columns, "error"], rows), len(rows), sum("error" in row for row in rows))


def _answers(model: Model, names: Sequence[str], asked: Asked) -> Iterator[list[dict[str, Any]]]:
    """The rows of pictures, a batch at a time; the next batch is decoded meanwhile."""
    size = asked.batch_size
    with ThreadPoolExecutor(available_cores() + READING) as pool:

        def begun(start: int) -> list[Any]:
            return [pool.submit(_decoded, name, model) for name in names[start : start + size]]

        waiting = begun(0)
        for start in range(0, len(names), size):
            found, waiting = [each.result() for each in waiting], begun(start + size)
            yield _rows(model, names[start : start + size], found, asked.top)


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
