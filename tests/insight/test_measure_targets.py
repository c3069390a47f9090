"""Measures of numbers and of sets of labels, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.core.errors import DataError, NumericError, ShapeError
from striate.insight.measure.targets import measure_labels, measure_numbers


def test_measures_of_numbers_by_hand():
    """Errors of the first number: 1, -1, 0, 2 around a mean of 2.5; the second is the same everywhere."""
    truth = np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0], [4.0, 7.0]])
    predicted = np.array([[2.0, 7.0], [1.0, 7.5], [3.0, 7.0], [6.0, 6.5]])

    measures = measure_numbers(predicted, truth, ["a", "b"])

    a, b = measures.outputs["a"], measures.outputs["b"]
    assert (a.mae, a.bias) == (1.0, 0.5)
    assert a.rmse == pytest.approx(math.sqrt(6 / 4))
    assert a.r2 == pytest.approx(1 - 6 / 5)  # sum of squares around the mean: 2.25 + 0.25 + 0.25 + 2.25
    assert b.r2 is None and b.mae == 0.25
    assert (measures.num_images, measures.r2, measures.mae) == (4, a.r2, (1.0 + 0.25) / 2)
    assert measures.rmse == pytest.approx((math.sqrt(6 / 4) + math.sqrt(0.5 / 4)) / 2)


def test_measures_of_labels_by_hand():
    """Label a is ranked right, wrong, right, right: precision at its places 1, 2/3; b is never there, c always and never found."""
    probs = np.array([[0.9, 0.1, 0.2], [0.8, 0.1, 0.3], [0.7, 0.6, 0.1], [0.2, 0.2, 0.4]])
    truth = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])

    measures = measure_labels(probs, truth, ["a", "b", "c"])

    a, b, c = (measures.labels[name] for name in "abc")
    assert a.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert (a.precision, a.recall, a.support, a.predicted) == (pytest.approx(2 / 3), 1.0, 2, 3)
    assert a.f1 == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert (b.average_precision, b.precision, b.recall, b.f1, b.support, b.predicted) == (None, 0.0, None, 0.0, 0, 1)
    assert (c.average_precision, c.precision, c.recall, c.f1, c.support, c.predicted) == (1.0, None, 0.0, 0.0, 4, 0)
    assert measures.mean_average_precision == pytest.approx((5 / 6 + 1) / 2)
    assert measures.macro_f1 == pytest.approx((0.8 + 0 + 0) / 3)
    assert measures.micro_f1 == pytest.approx(2 * 2 / (6 + 4))  # 2 hits, 6 wanted, 4 given
    assert measures.subset_accuracy == 0.0 and measures.subset_accuracy_interval[0] == 0.0
    assert measures.label_accuracy == pytest.approx(6 / 12)
    by_hand = -sum(math.log(p if t else 1 - p) for row, wanted in zip(probs, truth, strict=True) for p, t in zip(row, wanted, strict=True))
    assert measures.log_loss == pytest.approx(by_hand / 12)


def test_a_single_label_and_no_label_at_all_can_be_measured():
    none = measure_labels(np.full((3, 1), 0.2), np.zeros((3, 1)), ["a"])
    assert (none.mean_average_precision, none.macro_f1, none.micro_f1, none.subset_accuracy) == (None, None, None, 1.0)
    all_right = measure_labels(np.array([[1.0], [0.0]]), np.array([[1], [0]]), ["a"])
    assert (all_right.macro_f1, all_right.subset_accuracy) == (1.0, 1.0)
    assert math.isfinite(measure_labels(np.array([[0.0]]), np.array([[1]]), ["a"]).log_loss)


@pytest.mark.parametrize("measure", [measure_numbers, measure_labels])
def test_what_cannot_be_measured_is_said(measure):
    with pytest.raises(ShapeError, match=r"must have shape \(N, 2\), got \(3, 1\) and \(3, 2\)"):
        measure(np.zeros((3, 1)), np.zeros((3, 2)), ["a", "b"])
    with pytest.raises(DataError, match="no images to measure on"):
        measure(np.zeros((0, 1)), np.zeros((0, 1)), ["a"])
    with pytest.raises(NumericError, match="predictions: row 1 is not finite"):
        measure(np.array([[0.5], [np.nan]]), np.zeros((2, 1)), ["a"])
