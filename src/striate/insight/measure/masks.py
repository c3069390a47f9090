"""Measures of a segmentation against the true masks, all from one confusion matrix of pixels.

With n_ij the number of pixels of class i that were given class j, t_i = sum_j n_ij those of class i, and
u_i = t_i + sum_j n_ji - n_ii those of class i, or given it, or both:

    pixel accuracy               sum_i n_ii / sum_i t_i
    mean accuracy                mean over i of n_ii / t_i
    mean IU                      mean over i of n_ii / u_i
    frequency weighted IU        sum_i t_i n_ii / u_i / sum_k t_k

Pixels without a class (255 in a mask) count nowhere. A class without pixels has no accuracy, one that was not given either has no IU,
and the means leave it out.

Source: Long, Shelhamer and Darrell, 2015, arXiv:1411.4038, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, ShapeError


@dataclass(frozen=True, kw_only=True)
class RegionMeasures:
    """One class."""

    accuracy: float | None  # None: no pixel of it
    iu: float | None  # intersection over union; None: no pixel of it, and none was given it
    pixels: int
    predicted: int  # pixels given this class


@dataclass(frozen=True, kw_only=True)
class SegmentMeasures:
    """A segmentation of one split; shares lie in [0, 1]."""

    num_images: int
    num_pixels: int  # that have a class
    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    frequency_weighted_iu: float
    classes: dict[str, RegionMeasures]
    confusion_matrix: list[list[int]]  # (K, K) pixels: row = true class, column = predicted class


def pixel_confusion(answers: np.ndarray, masks: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K) int64: the number of pixels of each class (row) that were given each class (column).

    Args:
        answers: (...) int, class indices in [0, K).
        masks: The same shape, class indices in [0, K); pixels with any other number have no class and are left out.
        num_classes: K.

    Raises:
        ShapeError: the shapes differ.
        DataError: a prediction is not a class index.
    """
    if answers.shape != masks.shape:
        raise ShapeError(f"answers must have the shape of masks, {masks.shape}, got {answers.shape}")
    known = masks < num_classes
    pairs = masks[known].astype(np.int64) * num_classes + answers[known]
    if len(pairs) and answers[known].max() >= num_classes:
        raise DataError(f"answers must lie in [0, {num_classes}), got {answers[known].max()}")
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def measure_pixels(confusion: np.ndarray, classes: Sequence[str], num_images: int) -> SegmentMeasures:
    """The measures of a table of pixels.

    Args:
        confusion: (K, K) counts, as of `pixel_confusion`.
        classes: K names.
        num_images: The number of pictures that the pixels are from.

    Raises:
        ShapeError: `confusion` is not (K, K).
        DataError: no pixel has a class.
    """
    num_classes = len(classes)
    if confusion.shape != (num_classes, num_classes):
        raise ShapeError(f"confusion must have shape ({num_classes}, {num_classes}), a row and a column per class, got {confusion.shape}")
    total = int(confusion.sum())
    if total == 0:
        raise DataError("no pixel to measure on has a class", "Give masks in which some pixels are not 255.")
    hits, pixels, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    unions = pixels + predicted - hits
    regions = {
        name: RegionMeasures(
            accuracy=int(hits[k]) / int(pixels[k]) if pixels[k] else None,
            iu=int(hits[k]) / int(unions[k]) if unions[k] else None,
            pixels=int(pixels[k]),
            predicted=int(predicted[k]),
        )
        for k, name in enumerate(classes)
    }
    return SegmentMeasures(
        num_images=num_images,
        num_pixels=total,
        pixel_accuracy=int(hits.sum()) / total,
        mean_accuracy=_mean([region.accuracy for region in regions.values()]),
        mean_iu=_mean([region.iu for region in regions.values()]),
        frequency_weighted_iu=sum(region.pixels * region.iu for region in regions.values() if region.iu is not None) / total,
        classes=regions,
        confusion_matrix=confusion.tolist(),
    )


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)
