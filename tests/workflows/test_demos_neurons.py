"""The demos of single neurons, small networks and memories: what they print is true."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from striate.workflows.demos import perceptron
from striate.workflows.demos.shown import Setting

SHORT = Setting(short=True)


def frames_of(picture: bytes) -> list[np.ndarray]:
    image = Image.open(io.BytesIO(picture))
    frames = []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGB"), int))
    return frames


@pytest.mark.row("003-24", "003-25")
def test_the_perceptrons_numbers_are_the_published_ones_and_its_line_stays_within_the_bound():
    shown = perceptron.show(SHORT)

    gates, clouds = shown.tables
    assert gates.rows[:4] == (
        ("AND", 6, 10, -2, 2, 1, "4 of 4"),
        ("OR", 4, 4, 0, 1, 1, "4 of 4"),
        ("NAND", 6, 11, 3, -2, -1, "4 of 4"),
        ("NOR", 4, 5, 1, -1, -1, "4 of 4"),
    )
    assert gates.column("right")["XOR"] != "4 of 4"
    (_, updates, bound, errors), *_ = clouds.rows
    assert errors == 0
    assert 0 < updates <= bound
    first, last = frames_of(shown.pictures["perceptron.gif"])
    assert np.abs(first - last).max() > 100
