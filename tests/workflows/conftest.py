"""Trainings whose curves are drawn once a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from striate.core.reports import write_files
from striate.drawing import curves
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training import finishing


@pytest.fixture(autouse=True, scope="module")
def curves_drawn_once() -> Iterator[None]:
    """Drawing is a fourth of a training of seconds: the first of a file draws its curves, and the others get a copy of that picture.

    Where a test looks at what is drawn, by a `curves_picture` of its own, that is asked.
    """
    draw, picture, first = finishing.draw_curves, curves.curves_picture, []

    def once(plan: Any, folder: Path, outcome: Any) -> None:
        path = RunFolder(folder).curves
        if first and curves.curves_picture is picture:
            write_files(path.parent, {path.name: first[0]})
            return
        draw(plan, folder, outcome)
        if curves.curves_picture is picture:
            first.append(path.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "draw_curves", once)
        yield
