"""The demos of the building blocks: what they print is true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, signal

from striate.demos import activations, convolution, dropout, initialisation, optimizers, pooling, receptive_field
from striate.demos.shown import Setting

SHORT = Setting(short=True)


@pytest.mark.row("003-18", "004-16", "004-12")
def test_convolution_by_hand_is_the_published_answer_and_autograds_gradient():
    shown = convolution.show(SHORT)

    forward, backward, kinds = shown.tables
    assert [row[1:] for row in forward.rows] == [(4, 3, 4), (2, 4, 3), (2, 3, 4)]  # as the tutorial has it
    for _, _, rule, difference in backward.rows:
        assert difference > 1 if rule.startswith("wrong") else difference < 1e-13
    assert max(kinds.column("difference").values()) < 1e-12
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


@pytest.mark.row("001-5", "000-6")
def test_optimizers_leave_the_saddle_only_with_a_slope_and_momentum_needs_fewer_steps():
    shown = optimizers.show(SHORT)

    steps, ridge = shown.tables
    saddle, valley = steps.column("saddle"), steps.column("valley")
    assert all(isinstance(count, int) for count in saddle.values())
    assert saddle["Adam"] < saddle["descent"]
    assert valley["descent"] == "-"
    assert valley["momentum 0.9"] < 150
    for name, quiet, noisy in ridge.rows:
        assert quiet == 0, name
        assert noisy > 1e-5, name


def test_descent_on_the_valley_is_the_closed_form():
    """On a x^2 + b y^2 plain descent multiplies x by 1 - 2 a rate, y by 1 - 2 b rate, in each step."""
    path = optimizers.path_of(optimizers.SURFACES["valley"], optimizers.SGD, 0.003)

    steps = np.arange(len(path))
    expected = np.stack([-1.8 * (1 - 0.006) ** steps, 0.4 * (1 - 0.6) ** steps], 1)
    np.testing.assert_allclose(path, expected, atol=1e-12)


@pytest.mark.row("001-15", "002-8", "004-14")
def test_dropout_drops_its_share_and_is_the_mean_of_all_sub_networks():
    shown = dropout.show(SHORT)

    ones, every, learned = shown.tables
    for rate, zeros, kept, mean, unchanged in ones.rows:
        assert zeros == pytest.approx(float(rate), abs=0.015)
        assert kept == pytest.approx(1 / (1 - float(rate)))
        assert mean == pytest.approx(1, abs=0.05)
        assert unchanged == "yes"
    assert every.rows[0][2] < 1e-12
    assert all(right > 0.6 for right in learned.column("right: not seen").values())


@pytest.mark.row("004-8", "003-15", "004-6")
def test_receptive_fields_are_measured_as_the_formula_has_them():
    shown = receptive_field.show(SHORT)

    stacks, known = shown.tables
    sees = stacks.column("by the formula")
    assert {name: int(size) for name, size in sees.items()} == stacks.column("measured")
    assert (sees["two 3x3"], sees["three 3x3"], sees["ten 3x3"]) == ("5", "7", "21")
    assert sees["3x3 dilated by 1, 2, 4, 8"] == "31"
    weights = stacks.column("weights, C channels")
    assert (weights["one 5x5"], weights["two 3x3"], weights["one 7x7"], weights["three 3x3"]) == ("25 C^2", "18 C^2", "49 C^2", "27 C^2")
    assert stacks.column("2/3 of the gradient")["ten 3x3"] < 15
    assert known.column("receptive field")["vgg16"] == "212"
