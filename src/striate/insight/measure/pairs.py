"""Measures of pictures against the pictures that they should be.

With e the differences of a picture's values, of 0 to 255:

    mean absolute error     mean |e|, in grey levels
    PSNR                    10 log10(255^2 / max(mean e^2, 1/12)), in dB
    SSIM                    mean of (2 m m' + C1) (2 s + C2) / ((m^2 + m'^2 + C1) (v + v' + C2)), at most 1

with the means m, variances v and covariance s of picture and target in a Gaussian window of 11 x 11 pixels around each place that has all
of it, a channel at a time; C1 = (0.01 x 255)^2, C2 = (0.03 x 255)^2. Where a side is shorter than 11, pixels beyond the edge are mirrored.

1/12 is the mean square of what rounding to whole levels costs: it keeps the PSNR of equal pictures finite, at 58.9 dB. Of several pictures
each measure is the mean over the pictures.

Source of SSIM: Wang, Bovik, Sheikh and Simoncelli, 2004, "Image quality assessment: from error visibility to structural similarity".
"""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, ShapeError

PEAK = 255.0
LEAST = 1 / 12  # of a mean squared error
SIGMA, RADIUS = 1.5, 5  # pixels, of the window of SSIM
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


@dataclass(frozen=True, kw_only=True)
class PairMeasures:
    """Pictures that a network made, and, to compare, what is there without it: the inputs themselves, enlarged where targets are larger."""

    num_images: int
    psnr: float  # dB
    ssim: float
    mae: float  # grey levels
    psnr_before: float  # of the inputs
    ssim_before: float
    mae_before: float
    better: int  # pictures whose PSNR is higher than that of their input


def psnr_of(pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) dB, the peak signal-to-noise ratio of each of uint8 `pictures` (N, H, W, C) against its target.

    Raises:
        ShapeError: the shapes differ.
    """
    return np.asarray(10 * np.log10(PEAK**2 / np.maximum(_means(pictures, targets, 2), LEAST)))


def ssim_of(pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) the structural similarity of each of uint8 `pictures` (N, H, W, C) and its target.

    Raises:
        ShapeError: the shapes differ.
    """
    refuse_other_shape(pictures, targets)
    return np.array([_similarity(p.astype(np.float64), t.astype(np.float64)) for p, t in zip(pictures, targets, strict=True)])


def _similarity(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two pictures (H, W, C)."""
    from scipy.ndimage import gaussian_filter

    def windowed(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values, SIGMA, radius=RADIUS, axes=(0, 1)))

    mean_x, mean_y = windowed(x), windowed(y)
    of_x, of_y, both = windowed(x * x) - mean_x**2, windowed(y * y) - mean_y**2, windowed(x * y) - mean_x * mean_y
    similar = (2 * mean_x * mean_y + C1) * (2 * both + C2) / ((mean_x**2 + mean_y**2 + C1) * (of_x + of_y + C2))
    inner = tuple(slice(RADIUS, -RADIUS) if side > 2 * RADIUS else slice(None) for side in x.shape[:2])
    return float(similar[inner].mean())


def measure_pairs(pictures: np.ndarray, before: np.ndarray, targets: np.ndarray) -> PairMeasures:
    """The measures of pictures that a network made.

    Args:
        pictures: (N, H, W, C) uint8, made of the inputs.
        before: (N, H, W, C) uint8, the inputs, brought to the form of the targets.
        targets: (N, H, W, C) uint8.

    Raises:
        ShapeError: the shapes differ.
        DataError: no pictures.
    """
    if not len(targets):
        raise DataError("no images to measure on", "Give a split that holds at least one picture.")
    after, without = psnr_of(pictures, targets), psnr_of(before, targets)
    return PairMeasures(
        num_images=len(targets),
        psnr=float(after.mean()),
        ssim=float(ssim_of(pictures, targets).mean()),
        mae=float(_means(pictures, targets, 1).mean()),
        psnr_before=float(without.mean()),
        ssim_before=float(ssim_of(before, targets).mean()),
        mae_before=float(_means(before, targets, 1).mean()),
        better=int((after > without).sum()),
    )


def refuse_other_shape(pictures: np.ndarray, targets: np.ndarray) -> None:
    """Refuse pictures of another shape than that of their targets.

    Raises:
        ShapeError: gives both.
    """
    if pictures.shape != targets.shape:
        raise ShapeError(f"pictures must have the shape of their targets, {targets.shape}, got {pictures.shape}")


def _means(pictures: np.ndarray, targets: np.ndarray, power: int) -> np.ndarray:
    """(N,) the mean of |e|^power of each picture, one after the other."""
    refuse_other_shape(pictures, targets)
    return np.array([(np.abs(p.astype(np.float64) - t) ** power).mean() for p, t in zip(pictures, targets, strict=True)])
