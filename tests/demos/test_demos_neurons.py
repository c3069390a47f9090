"""The demos of single neurons, small networks and memories: what they print is true."""

from __future__ import annotations

import numpy as np
import pytest

from striate.demos import art, backpropagation, hopfield, perceptron, som, svm, xor
from striate.demos.shown import Setting
from striate.estimators import Hopfield

SHORT = Setting(short=True)


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


@pytest.mark.row("003-24")
def test_hidden_units_make_xor_separable():
    shown = xor.show(SHORT)

    points, neurons = shown.tables
    for name, wanted, answer, *_ in points.rows:
        assert wanted == (name in ("0 1", "1 0"))
        assert abs(answer - wanted) <= 0.05
    assert neurons.column("right") == {"the inputs": "2 of 4", "the hidden units": "4 of 4"}
    assert shown.notes[0].startswith(f"After {len(xor.learn(SHORT.seed))} epochs ")  # as the last frame counts them


def test_a_start_that_ends_in_a_local_minimum_is_followed_by_another():
    course, starts = xor.learned(12)
    assert starts > 1
    np.testing.assert_allclose(course[-1].answers(xor.SQUARE), xor.LABELS, atol=0.05)


@pytest.mark.row("003-14", "003-21")
def test_one_update_by_hand_is_the_published_one_and_autograds():
    shown = backpropagation.show(SHORT)

    units, updates, repeated = shown.tables
    published = {"net I": [-0.7, 0.1, -0.105], "output O": [0.332, 0.525, 0.474], "error Err": [-0.0087, -0.0065, 0.1311]}
    for name, values in published.items():
        np.testing.assert_allclose(list(units.column(name).values()), values, atol=6e-4)
    after = {"w14": 0.192, "w15": -0.306, "w24": 0.4, "w25": 0.1, "w34": -0.508, "w35": 0.194, "w46": -0.261, "w56": -0.138}
    after |= {"b4": -0.408, "b5": 0.194, "b6": 0.218}
    found = updates.column("after")
    assert found == pytest.approx(after, abs=6e-4)
    assert updates.column("rate x Err x O") == pytest.approx(updates.column("by autograd"), abs=1e-15)
    losses = list(repeated.column("loss").values())
    assert losses == sorted(losses, reverse=True)


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


def test_a_recall_by_hand_ends_where_the_estimator_does():
    names, patterns = hopfield.memories()
    model = Hopfield(random_state=0).fit(patterns)
    probe = patterns[1].copy()
    probe[:6] *= -1

    course = hopfield.recall(model, probe, np.random.default_rng(0))

    assert len(set(names)) == 3
    np.testing.assert_array_equal(course.states[-1], model.predict(probe[None])[0])
    np.testing.assert_allclose(course.energies[0], -probe @ model.weights_ @ probe / 2)


@pytest.mark.row("003-8")
def test_the_map_unfolds_and_lays_out_digits():
    shown = som.show(SHORT)

    square, map_of_digits, named = shown.tables
    folds = square.column("topographic error")
    assert folds["at first"] > 0.8
    assert folds["unfolded"] <= 0.02
    errors = map_of_digits.column("quantisation error")
    assert errors["trained"] < 0.6 * errors["at first"]
    assert named.rows[0][1] > 0.85  # a published implementation reaches 0.911


@pytest.mark.row("003-8")
def test_vigilance_sets_the_number_and_the_size_of_categories():
    shown = art.show(SHORT)

    bits, flowers = shown.tables
    assert bits.rows == (("0.3", 0, 1, 1, 1, 1), ("0.7", 0, 1, 1, 1, 2), ("0.9", 0, 1, 2, 1, 3))  # by hand
    assert list(flowers.column("categories").values()) == [1, 3, 11, 19, 41]  # as artlib counts them
    for row in flowers.rows:
        assert row[4] <= row[5]


@pytest.mark.row("002-23")
def test_the_machines_have_the_textbooks_numbers():
    shown = svm.show(SHORT)

    four, kernel, cancer, digits = shown.tables
    np.testing.assert_allclose(four.rows[0][:4], (1, -1, -1, 2**0.5), atol=1e-4)
    assert kernel.rows[0][0] == "0.125 0.125 0.125 0.125"
    assert kernel.rows[0][2] == "4 of 4"
    np.testing.assert_allclose(list(cancer.column("dual objective").values()), [26.525455, 59.761345], rtol=1e-5)
    np.testing.assert_allclose(list(digits.column("right").values()), [0.9822, 0.9889], atol=0.003)
