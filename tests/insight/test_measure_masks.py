"""The four measures of Long et al. 2015, by hand, by slow loops, and by another library."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, jaccard_score

from striate.core.errors import DataError, ShapeError
from striate.insight.measure.masks import measure_pixels, pixel_confusion


def test_the_four_measures_of_a_table_by_hand() -> None:
    """n = ((6, 2), (1, 3)): t = (8, 4), unions 6 + 2 + 1 and 3 + 2 + 1."""
    got = measure_pixels(np.array([[6, 2], [1, 3]]), ("ground", "disc"), num_images=5)

    assert got.pixel_accuracy == pytest.approx(9 / 12)
    assert got.mean_accuracy == pytest.approx((6 / 8 + 3 / 4) / 2)
    assert got.mean_iu == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert got.frequency_weighted_iu == pytest.approx((8 * 6 / 9 + 4 * 3 / 6) / 12)
    assert (got.num_images, got.num_pixels) == (5, 12)
    assert (got.classes["disc"].iu, got.classes["disc"].accuracy) == (0.5, 0.75)
    assert (got.classes["disc"].pixels, got.classes["disc"].predicted) == (4, 5)
    assert got.confusion_matrix == [[6, 2], [1, 3]]


def test_a_class_that_is_nowhere_counts_in_no_mean() -> None:
    """Class 2 has no pixel and was never given; class 3 has none, but was given once: its IU is 0, it has no accuracy."""
    confusion = np.array([[6, 1, 0, 1], [0, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])

    got = measure_pixels(confusion, tuple("abcd"), num_images=1)

    assert (got.classes["c"].iu, got.classes["c"].accuracy) == (None, None)
    assert (got.classes["d"].iu, got.classes["d"].accuracy) == (0.0, None)
    assert got.mean_accuracy == pytest.approx((6 / 8 + 1) / 2)
    assert got.mean_iu == pytest.approx((6 / 8 + 4 / 5 + 0) / 3)
    assert got.frequency_weighted_iu == pytest.approx((8 * 6 / 8 + 4 * 4 / 5) / 12)


def test_pixels_without_a_class_count_nowhere() -> None:
    masks = np.array([[[0, 1, 255], [1, 1, 255]]], np.uint8)
    answers = np.array([[[0, 0, 1], [1, 1, 0]]], np.uint8)

    np.testing.assert_array_equal(pixel_confusion(answers, masks, 2), [[1, 0], [1, 2]])


def test_the_measures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    masks = rng.integers(0, 5, (4, 7, 9)).astype(np.uint8)
    answers = np.where(rng.random(masks.shape) < 0.6, masks, rng.integers(0, 5, masks.shape)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.1] = 255
    true, given = masks[masks != 255], answers[masks != 255]

    got = measure_pixels(pixel_confusion(answers, masks, 5), tuple("abcde"), num_images=4)

    assert got.num_pixels == len(true)
    assert got.pixel_accuracy == pytest.approx(accuracy_score(true, given), abs=1e-12)
    assert got.mean_accuracy == pytest.approx(balanced_accuracy_score(true, given), abs=1e-12)
    assert got.mean_iu == pytest.approx(jaccard_score(true, given, average="macro"), abs=1e-12)
    assert got.frequency_weighted_iu == pytest.approx(jaccard_score(true, given, average="weighted"), abs=1e-12)


def test_a_faultless_answer_scores_1_throughout() -> None:
    masks = np.array([[0, 1, 2, 2, 255]], np.uint8)

    got = measure_pixels(pixel_confusion(np.array([[0, 1, 2, 2, 1]]), masks, 3), tuple("abc"), num_images=1)

    assert (got.pixel_accuracy, got.mean_accuracy, got.mean_iu, got.frequency_weighted_iu) == (1, 1, 1, 1)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ShapeError, match=r"answers must have the shape of masks, \(2, 3\), got \(3, 2\)"):
        pixel_confusion(np.zeros((3, 2), int), np.zeros((2, 3), int), 2)
    with pytest.raises(DataError, match=r"answers must lie in \[0, 2\), got 2"):
        pixel_confusion(np.array([2, 0]), np.array([1, 0]), 2)
    with pytest.raises(ShapeError, match=r"confusion must have shape \(3, 3\)"):
        measure_pixels(np.zeros((2, 2), int), tuple("abc"), num_images=1)
    with pytest.raises(DataError, match="no pixel to measure on has a class"):
        measure_pixels(np.zeros((2, 2), int), tuple("ab"), num_images=1)
