"""PSNR and mean absolute error of pictures, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.core.errors import DataError, ShapeError
from striate.insight.measure.pairs import measure_pairs, psnr_of


def test_a_constant_difference_of_d_levels_has_a_psnr_of_20_log10_of_255_over_d():
    targets = np.full((3, 2, 4, 3), 100, np.uint8)
    pictures = targets + np.array([1, 10, 155], np.uint8)[:, None, None, None]

    np.testing.assert_allclose(psnr_of(pictures, targets), [20 * math.log10(255 / d) for d in (1, 10, 155)], rtol=1e-12)
    np.testing.assert_allclose(psnr_of(targets, pictures), psnr_of(pictures, targets), rtol=1e-12)  # no byte wraps around


def test_equal_pictures_have_the_psnr_of_what_rounding_costs():
    """A level is rounded by up to 1/2: a mean square of 1/12."""
    picture = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    assert psnr_of(picture, picture)[0] == pytest.approx(10 * math.log10(255**2 * 12), rel=1e-12)


def test_measures_of_pairs_are_means_over_the_pictures():
    """Errors of the first picture: 4 in half of its values, where the input has 8 everywhere; the second is left as it was, 2 off."""
    targets = np.full((2, 2, 3, 1), 50, np.uint8)
    made, before = targets.copy(), targets.copy()
    made[0, 0], before[0] = 54, 58
    made[1] = before[1] = 48

    measures = measure_pairs(made, before, targets)

    first, same, without = (10 * math.log10(255**2 / square) for square in (4**2 / 2, 2**2, 8**2))
    assert measures.psnr == pytest.approx((first + same) / 2, rel=1e-12)
    assert measures.psnr_before == pytest.approx((without + same) / 2, rel=1e-12)
    assert (measures.mae, measures.mae_before) == ((2 + 2) / 2, (8 + 2) / 2)
    assert (measures.num_images, measures.better) == (2, 1)


def test_pictures_of_another_form_or_none_are_refused():
    pictures = np.zeros((2, 3, 4, 1), np.uint8)

    with pytest.raises(ShapeError, match=r"must have the shape of their targets, \(2, 3, 4, 1\), got \(2, 3, 5, 1\)"):
        psnr_of(np.zeros((2, 3, 5, 1), np.uint8), pictures)
    with pytest.raises(DataError, match="no images to measure on"):
        measure_pairs(pictures[:0], pictures[:0], pictures[:0])
