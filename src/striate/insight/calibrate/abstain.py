"""Abstention: thresholds of the scores of `striate.core.calibration`, and their detection of out-of-distribution pictures."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, UsageError
from striate.insight.calibrate.evidence import coverage_interval

ROUNDING = 1e-4  # of a score, relative above 1


@dataclass(frozen=True, kw_only=True)
class CoveragePoint:
    """Accuracy and coverage if only the best-scored pictures are answered."""

    coverage: float  # share that is answered
    threshold: float  # the least score that is
    accuracy: float  # of those answered


class Abstention(NamedTuple):
    """The answers that a threshold leaves."""

    threshold: float
    coverage: float  # share that is answered
    coverage_interval: tuple[float, float]  # 95 %, of other pictures like them
    accuracy_answered: float


def abstention(scores: np.ndarray, correct: np.ndarray, coverage: float) -> Abstention:
    """The threshold that answers the share `coverage` of pictures, by their scores (N,), and what it leaves; raises as `threshold_for`."""
    threshold = threshold_for(scores, coverage)
    answered = scores >= threshold
    interval = coverage_interval(int(answered.sum()), len(scores))
    return Abstention(threshold, float(answered.mean()), interval, float(correct[answered].mean()))


def threshold_for(scores: np.ndarray, coverage: float) -> float:
    """The highest threshold at which at least `coverage` of the pictures have a score that is not below it, less `ROUNDING`.

    With less, another program, whose sums are rounded differently, answers the picture with that score too.

    Raises:
        UsageError: `coverage` is not in (0, 1].
        DataError: no scores.
    """
    if not 0 < coverage <= 1:
        raise UsageError(f"coverage must lie in (0, 1], got {coverage:g}", "0.95 answers 95 % of the pictures like those of the split.")
    if len(scores) == 0:
        raise DataError("no pictures to choose a threshold by", "Give a split that holds at least one picture.")
    descending = np.sort(scores)[::-1]
    lowest = descending[math.ceil(round(coverage * len(scores), 9)) - 1]  # of those answered
    below = descending[descending < lowest][:1]
    return float(max([lowest - ROUNDING * max(1, abs(lowest)), *(lowest + below) / 2]))


def coverage_curve(scores: np.ndarray, correct: np.ndarray, num_points: int = 20) -> list[CoveragePoint]:
    """Accuracy over coverage, from 1 / `num_points` to 1."""
    points = []
    for place in range(1, num_points + 1):
        threshold = threshold_for(scores, place / num_points)
        answered = scores >= threshold
        accuracy = float(correct[answered].mean())
        points.append(CoveragePoint(coverage=float(answered.mean()), threshold=threshold, accuracy=accuracy))
    return points


def auroc(known: np.ndarray, strange: np.ndarray) -> float:
    """The probability that a known picture scores above an out-of-distribution one, ties counted half: the area under the ROC curve.

    Source: Hanley and McNeil, 1982, Radiology 143(1).
    """
    from scipy.stats import rankdata

    if not len(known) or not len(strange):
        raise DataError("no pictures to compare", "Give two sets that hold at least one picture each.")
    ranks = rankdata(np.concatenate([known, strange]))[: len(known)]
    return float((ranks.sum() - len(known) * (len(known) + 1) / 2) / (len(known) * len(strange)))
