"""Measures of pictures against the pictures that they should be.

With e the differences of a picture's values, of 0 to 255:

    mean absolute error     mean |e|, in grey levels
    PSNR                    10 log10(255^2 / max(mean e^2, 1/12)), in dB

1/12 is the mean square of what rounding to whole levels costs: it keeps the PSNR of equal pictures finite, at 58.9 dB. Of several pictures
each measure is the mean over the pictures.
"""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, ShapeError

PEAK = 255.0
LEAST = 1 / 12  # of a mean squared error


@dataclass(frozen=True, kw_only=True)
class PairMeasures:
    """Pictures that a network made, and, to compare, what is there without it: the inputs themselves, enlarged where targets are larger."""

    num_images: int
    psnr: float  # dB
    mae: float  # grey levels
    psnr_before: float  # of the inputs
    mae_before: float
    better: int  # pictures whose PSNR is higher than that of their input


def psnr_of(pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) dB, the peak signal-to-noise ratio of each of uint8 `pictures` (N, H, W, C) against its target.

    Raises:
        ShapeError: the shapes differ.
    """
    return np.asarray(10 * np.log10(PEAK**2 / np.maximum(_means(pictures, targets, 2), LEAST)))


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
        mae=float(_means(pictures, targets, 1).mean()),
        psnr_before=float(without.mean()),
        mae_before=float(_means(before, targets, 1).mean()),
        better=int((after > without).sum()),
    )


def _means(pictures: np.ndarray, targets: np.ndarray, power: int) -> np.ndarray:
    """(N,) the mean of |e|^power of each picture, one after the other."""
    if pictures.shape != targets.shape:
        raise ShapeError(f"pictures must have the shape of their targets, {targets.shape}, got {pictures.shape}")
    return np.array([(np.abs(p.astype(np.float64) - t) ** power).mean() for p, t in zip(pictures, targets, strict=True)])
