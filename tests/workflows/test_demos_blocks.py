"""The demos of the building blocks: what they print is true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, signal

from striate.workflows.demos import activations, convolution, initialisation, pooling
from striate.workflows.demos.shown import Setting

SHORT = Setting(short=True)


@pytest.mark.row("003-18", "004-16", "004-12")
def test_convolution_by_hand_is_the_published_answer_and_autograds_gradient():
    shown = convolution.show(SHORT)

    forward, backward, kinds = shown.tables
    assert [row[1:] for row in forward.rows] == [(4, 3, 4), (2, 4, 3), (2, 3, 4)]  # as the tutorial has it
    for _, _, rule, difference in backward.rows:
        assert difference > 1 if rule.startswith("wrong") else difference < 1e-13
    assert max(kinds.column("largest difference").values()) < 1e-12
    params, macs = kinds.column("params"), kinds.column("MACs")
    assert params["standard 3x3"] == 8 * 4 * 9
    assert macs["standard 3x3"] == 8 * 4 * 9 * 81
    assert macs["depthwise separable"] / macs["standard 3x3"] == pytest.approx(1 / 8 + 1 / 9)
    assert params["locally connected 3x3"] == 81 * params["standard 3x3"]


@pytest.mark.row("004-5", "000-9")
def test_the_loop_of_the_demo_is_scipys_correlation():
    generator = np.random.default_rng(0)
    image, kernel = generator.normal(size=(5, 8)), generator.normal(size=(2, 3))

    np.testing.assert_allclose(convolution.correlate(image, kernel), signal.correlate2d(image, kernel, mode="valid"), atol=1e-12)


@pytest.mark.row("004-17", "003-20", "000-14")
def test_pooling_by_hand_keeps_the_sum_of_the_errors_and_forgives_shifts():
    shown = pooling.show(SHORT)

    backward, large, shifts = shown.tables
    for _, difference, lost in backward.rows:
        assert difference < 1e-12
        assert abs(lost) < 1e-12
    assert large.rows[0] == ("max", 189, 199, 389, 399)  # the last number of each quarter of 0..399
    assert large.rows[1] == ("mean", 94.5, 104.5, 294.5, 304.5)
    change = shifts.column("change")
    assert change["max 2 x 2"] < change["pixels"]
    assert change["mean 2 x 2"] < change["pixels"]


def test_the_pooling_of_the_demo_is_scipys():
    image = np.random.default_rng(1).normal(size=(7, 6))

    expected = ndimage.maximum_filter(image, size=3)[1:-1:2, 1:-1:2]
    np.testing.assert_array_equal(pooling.pooled(image, "max", 3, 2), expected)


@pytest.mark.row("002-19", "001-2", "003-38")
def test_the_activations_have_their_published_values_and_slopes():
    shown = activations.show(SHORT)

    table, losses = shown.tables
    assert len(table.rows) == 17
    slopes = table.column("largest slope")
    assert slopes["sigmoid"] == pytest.approx(0.25)
    assert slopes["tanh"] == pytest.approx(1)
    at_two = table.column("f(2)")
    assert at_two["selu"] == pytest.approx(2 * 1.0507009873554805)
    assert at_two["gelu"] == pytest.approx(2 * 0.9772498680518208)  # x times the normal distribution function
    assert at_two["hard_swish"] == pytest.approx(2 * 5 / 6)
    assert [name for name, monotone in table.column("monotone").items() if monotone == "no"] == ["gelu", "silu", "hard_swish"]
    gradient = losses.column("gradient at z")
    assert gradient["squared error"] == pytest.approx(-0.00246, abs=5e-6)
    assert gradient["cross-entropy"] == pytest.approx(-0.99753, abs=5e-6)


@pytest.mark.row("002-3", "002-4", "003-42")
def test_the_starts_keep_explode_or_lose_the_signal_as_theory_says():
    shown = initialisation.show(SHORT)

    linear, after, symmetry = shown.tables
    ends = linear.column("after 50")
    assert 0.5 < ends["1 / sqrt(n)"] < 2
    assert ends["1.5 / sqrt(n)"] / ends["1 / sqrt(n)"] == pytest.approx(1.5**50)  # the same draws, scaled
    assert ends["0.5 / sqrt(n)"] / ends["1 / sqrt(n)"] == pytest.approx(0.5**50)
    deep = after.column("after 50")
    assert deep["he, relu"] > 0.05
    assert deep["xavier, relu"] == pytest.approx(deep["he, relu"] * 2**-25, rel=0.5)  # half the variance is lost in each layer
    units = symmetry.column("different units")
    assert units == {"zero": 1, "constant 0.1": 1, "xavier": 20}
    losses = symmetry.column("after 100 updates")
    assert losses["xavier"] < 0.1 * losses["zero"]
