"""Temperature scaling, and the reliability diagram's numbers."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, NumericError, ShapeError

LOWEST, HIGHEST = 0.01, 100.0  # temperatures tried; a faultless model would take any, however low
STEPS = 60  # of bisection: far below the rounding of a float
NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The predictions whose confidence lies in (low, high]."""

    low: float
    high: float
    num_images: int
    confidence: float | None  # their mean; None: no image
    accuracy: float | None


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T at which softmax(logits / T) gives the labels the greatest likelihood.

    The log loss is convex in b = 1 / T, with the derivative        mean over images of  sum_k p_k(b) z_k - z_label

    so that its sign is bisected. The answers stay the same, whatever T.

    Args:
        logits: (N, K) float, of images that the model was not trained on.
        labels: (N,) int in [0, K).

    Returns:
        A number from 0.01 to 100.

    Raises:
        ShapeError: the two do not fit each other.
        DataError: no images, or a label that is not a class index.
        NumericError: a logit is not finite.

    Source: Guo et al., 2017, arXiv:1706.04599v2, section 4.2.
    """
    logits, labels = checked(logits, labels)
    logits = logits - logits.max(1, keepdims=True)
    own = logits[np.arange(len(labels)), labels]  # (N,)

    def slope(inverse: float) -> float:
        weights = np.exp(inverse * logits)
        return float(((weights * logits).sum(1) / weights.sum(1) - own).mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(high) <= 0:
        return LOWEST
    if slope(low) >= 0:
        return HIGHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`logits` in float64 and `labels`, once they are known to fit; raises as `fit_temperature` does."""
    if logits.ndim != 2 or labels.shape != (len(logits),):
        raise ShapeError(f"logits must have shape (N, K) and labels (N,), got {logits.shape} and {labels.shape}")
    if len(logits) == 0:
        raise DataError("no images to calibrate on", "Give a split that holds at least one picture.")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError(f"labels must lie in [0, {logits.shape[1]}), got {labels.min()} to {labels.max()}", "Map them by name.")
    if not np.isfinite(logits).all():
        raise NumericError("logits hold NaN or Inf", "Train again with a lower learning rate.")
    return logits.astype(np.float64), labels


def reliability(confidences: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS) -> list[Bin]:
    """Accuracy by confidence, in equal-width bins of the confidence.

    Args:
        confidences: (N,) float in [0, 1].
        correct: (N,) bool.
        num_bins: A bin holds its upper edge, the first holds 0 too.

    Source: Guo et al., 2017, arXiv:1706.04599v2, figure 1 and equation 3.
    """
    places = np.searchsorted(np.arange(1, num_bins) / num_bins, confidences, side="left")  # (N,)
    bins = []
    for place in range(num_bins):
        inside = places == place
        count = int(inside.sum())
        confidence, accuracy = (float(values[inside].mean()) if count else None for values in (confidences, correct))
        bins.append(Bin(low=place / num_bins, high=(place + 1) / num_bins, num_images=count, confidence=confidence, accuracy=accuracy))
    return bins
