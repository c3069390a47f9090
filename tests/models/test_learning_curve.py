"""A learning curve of linear heads: who is asked, what is learned from, and the power law beyond."""

from __future__ import annotations

import numpy as np
import pytest

from striate.models.learning_curve import CurvePoint, extrapolated, learning_curve


def test_each_share_holds_so_much_of_every_class_and_all_pictures_are_asked():
    values = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    features = np.eye(2)[labels] * 2 + values.normal(0, 1, (80, 2))
    points = learning_curve(features, labels, 2, folds=np.arange(80) % 5, strength=1.0, seed=0)
    assert [point.num_images for point in points] == [8, 16, 32, 64]  # of the 64 in four folds
    assert {point.asked for point in points} == {80}
    assert points[-1].right > 65


@pytest.mark.parametrize(("power", "expected"), [(1, 1 - 0.4 / 16), (0.5, 1 - 0.4 / 4)])
def test_errors_that_fall_as_a_power_go_on_falling_so(power: float, expected: float):
    """Errors 0.4 (n / 10)^-b from 10 to 80: at 160 they are 0.4 / 16^b."""
    points = [CurvePoint(size, 10_000 - round(4_000 * (size / 10) ** -power), 10_000) for size in (10, 20, 40, 80)]
    double, accuracy = extrapolated(points)
    assert double == 160
    assert accuracy == pytest.approx(expected, abs=1e-3)


def test_more_pictures_never_promise_less():
    points = [CurvePoint(10, 90, 100), CurvePoint(20, 80, 100)]
    assert extrapolated(points) == (40, 0.8)
    assert extrapolated([CurvePoint(10, 100, 100), CurvePoint(20, 100, 100)])[1] == 1.0
