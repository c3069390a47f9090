"""PSNR, SSIM and mean absolute error of pictures, by hand and by scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.core.errors import DataError, ShapeError
from striate.insight.measure.pairs import measure_pairs, psnr_of, ssim_of


def test_a_constant_difference_of_d_levels_has_a_psnr_of_20_log10_of_255_over_d():
    targets = np.full((3, 2, 4, 3), 100, np.uint8)
    pictures = targets + np.array([1, 10, 155], np.uint8)[:, None, None, None]

    np.testing.assert_allclose(psnr_of(pictures, targets), [20 * math.log10(255 / d) for d in (1, 10, 155)], rtol=1e-12)
    np.testing.assert_allclose(psnr_of(targets, pictures), psnr_of(pictures, targets), rtol=1e-12)  # no byte wraps around


def test_equal_pictures_have_the_psnr_of_what_rounding_costs():
    """A level is rounded by up to 1/2: a mean square of 1/12."""
    picture = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    assert psnr_of(picture, picture)[0] == pytest.approx(10 * math.log10(255**2 * 12), rel=1e-12)


def waves(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (24, 32) and the same with a pattern over it."""
    rows, columns = np.mgrid[:24, :32]
    base = 128 + 90 * np.sin(rows / 3.0 + columns / (4.0 + seed))
    noise = 40 * np.sin(12.9898 * rows * (seed + 1) + 78.233 * columns)
    return np.rint(base).astype(np.uint8), np.rint(np.clip(base + noise, 0, 255)).astype(np.uint8)


def test_structural_similarity_is_that_of_scikit_image():
    """0.26.0, `structural_similarity` with gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255."""
    (first, other), (second, another) = waves(0), waves(1)
    targets, pictures = np.stack([first, second])[..., None], np.stack([other, another])[..., None]
    coloured, changed = np.stack([first, second, 255 - first], -1)[None], np.stack([other, another, 255 - another], -1)[None]

    np.testing.assert_allclose(ssim_of(pictures, targets), [0.7293630212542037, 0.7081575615750861], rtol=1e-10)
    np.testing.assert_allclose(ssim_of(changed, coloured), [0.6187216136209698], rtol=1e-10)


def test_structural_similarity_of_even_pictures_and_of_equal_ones():
    """Without any variance, (2 a b + C1) / (a^2 + b^2 + C1), also of pictures smaller than the window."""
    grey, lighter = np.full((1, 4, 15, 1), 100, np.uint8), np.full((1, 4, 15, 1), 130, np.uint8)
    c1 = (0.01 * 255) ** 2

    assert ssim_of(lighter, grey)[0] == pytest.approx((2 * 100 * 130 + c1) / (100**2 + 130**2 + c1), rel=1e-12)
    assert ssim_of(grey, grey)[0] == pytest.approx(1, rel=1e-12)


def test_measures_of_pairs_are_means_over_the_pictures():
    """Errors of the first picture: 4 in half of its values, where the input has 8 everywhere; the second is left as it was, 2 off."""
    targets = np.full((2, 2, 3, 1), 50, np.uint8)
    made, before = targets.copy(), targets.copy()
    made[0, 0], before[0] = 54, 58
    made[1] = before[1] = 48

    measures = measure_pairs(made, before, targets)

    first, same, without = (10 * math.log10(255**2 / square) for square in (4**2 / 2, 2**2, 8**2))
    assert measures.psnr == pytest.approx((first + same) / 2, rel=1e-12)
    assert measures.ssim == pytest.approx(ssim_of(made, targets).mean(), rel=1e-12)
    assert measures.ssim_before == pytest.approx(ssim_of(before, targets).mean(), rel=1e-12)
    assert measures.psnr_before == pytest.approx((without + same) / 2, rel=1e-12)
    assert (measures.mae, measures.mae_before) == ((2 + 2) / 2, (8 + 2) / 2)
    assert (measures.num_images, measures.better) == (2, 1)


def test_pictures_of_another_form_or_none_are_refused():
    pictures = np.zeros((2, 3, 4, 1), np.uint8)

    with pytest.raises(ShapeError, match=r"must have the shape of their targets, \(2, 3, 4, 1\), got \(2, 3, 5, 1\)"):
        psnr_of(np.zeros((2, 3, 5, 1), np.uint8), pictures)
    with pytest.raises(ShapeError, match="must have the shape of their targets"):
        ssim_of(np.zeros((2, 3, 5, 1), np.uint8), pictures)
    with pytest.raises(DataError, match="no images to measure on"):
        measure_pairs(pictures[:0], pictures[:0], pictures[:0])
