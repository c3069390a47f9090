"""The demos of single neurons, small networks and memories: what they print is true."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from striate.estimators import Hopfield
from striate.workflows.demos import hopfield, perceptron, xor
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


@pytest.mark.row("003-24", "003-1")
def test_hidden_units_make_xor_separable():
    shown = xor.show(SHORT)

    points, neurons = shown.tables
    for name, wanted, answer, *_ in points.rows:
        assert wanted == (name in ("0 1", "1 0"))
        assert abs(answer - wanted) <= 0.05
    assert neurons.column("right") == {"the inputs": "2 of 4", "the hidden units": "4 of 4"}
    assert len(frames_of(shown.pictures["xor.gif"])) == 2


@pytest.mark.row("003-3", "003-22")
def test_hopfield_recalls_noisy_digits_downhill_and_forgets_above_its_capacity():
    shown = hopfield.show(SHORT)

    digits, noise, capacity = shown.tables
    for _, before, after, high, low, rises in digits.rows:
        assert before == 10
        assert after == rises == 0
        assert low < high
    shares = list(noise.column("share").values())
    assert shares[1] > 0.95
    assert shares[-1] < 0.2
    overlap = capacity.column("overlap")
    assert overlap["0.05"] > 0.99
    assert overlap["0.25"] < 0.7
    assert list(overlap.values()) == sorted(overlap.values(), reverse=True)
    assert len(frames_of(shown.pictures["hopfield.gif"])) == 2


def test_a_recall_by_hand_ends_where_the_estimator_does():
    names, patterns = hopfield.memories()
    model = Hopfield(random_state=0).fit(patterns)
    probe = patterns[1].copy()
    probe[:6] *= -1

    course = hopfield.recall(model, probe, np.random.default_rng(0))

    assert len(set(names)) == 3
    np.testing.assert_array_equal(course.states[-1], model.predict(probe[None])[0])
    np.testing.assert_allclose(course.energies[0], -probe @ model.weights_ @ probe / 2)
