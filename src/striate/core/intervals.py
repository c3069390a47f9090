"""Confidence intervals of shares and means over few training runs, and of paired differences, over new runs and new pictures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

Z_95 = NormalDist().inv_cdf(0.975)
SPREAD_FLOOR = 1e-12  # differences that are as equal as this have no spread to judge by


class Interval(NamedTuple):
    """A mean and its 95 % confidence interval; no bounds if it cannot be estimated."""

    mean: float
    low: float | None
    high: float | None


class Paired(NamedTuple):
    """The mean difference of pairs, its interval, and its p-value: the probability of one as large if there is no difference."""

    difference: float
    low: float | None
    high: float | None
    p_value: float | None


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a binomial share; it never leaves [0, 1] and is valid at 0, at 1 and for one trial.

    Source: Wilson, 1927, Journal of the American Statistical Association 22(158).
    """
    share, z2 = successes / trials, Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == trials else float(centre + half)
    return low, high


def share_in_words(share: float, trials: int) -> str:
    """A share of `trials` with its `wilson_interval`, in words."""
    low, high = wilson_interval(round(share * trials), trials)
    return f"{share:.4f} (95 % interval {low:.4f} to {high:.4f})"


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """mean -+ t s / sqrt(n) with Student's t of n - 1 degrees of freedom; None without values.

    Source: Student, 1908, Biometrika 6(1).
    """
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Interval(mean, None, None)
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def share_interval(shares: Sequence[float], num_images: int, *, same_images: bool = True) -> Interval | None:
    """The mean accuracy of several training runs, and its 95 % interval over new runs and new pictures; None without shares.

        mean - low = sqrt((mean - wilson_low)^2 + (t s / sqrt(n))^2), high likewise, within [0, 1]

    Wilson's limits, of the mean share of `num_images`, stand for the pictures, Student's for the trainings; distances of independent
    errors add in squares. One training says nothing about others: its interval is Wilson's.

    Args:
        shares: The accuracy of each training.
        num_images: That the mean is measured on: of one validation split, or of all folds together.
        same_images: Whether each training was measured on the same pictures. Where each had its own, as folds do, the spread between
            them holds that of the pictures, and the wider of the two distances is taken.

    Source: Zou and Donner, 2008, Statistics in Medicine 27(10), equation 5.
    """
    trainings = t_interval(shares)
    if trainings is None:
        return None
    mean = min(1.0, max(0.0, trainings.mean))  # a sum of shares may miss 1 by a rounding
    low, high = wilson_interval(mean * num_images, num_images)
    if trainings.low is None:
        return Interval(mean, low, high)
    together = math.hypot if same_images else max
    half = trainings.mean - trainings.low
    return Interval(mean, max(0.0, mean - together(mean - low, half)), min(1.0, mean + together(high - mean, half)))


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Paired | None:
    """`values` less `baseline`, seed by seed, with the two-sided paired t-test; None without pairs.

    Where each pair differs by the same, the test has no spread to judge by: p is 1 for no difference, else None.
    """
    differences = [value - base for value, base in zip(values, baseline, strict=True)]
    interval = t_interval(differences)
    if interval is None:
        return None
    p_value = None
    if len(differences) > 1:
        spread = statistics.stdev(differences)
        if spread > SPREAD_FLOOR:
            from scipy.stats import t

            score = abs(interval.mean) / (spread / math.sqrt(len(differences)))
            p_value = float(2 * t.sf(score, len(differences) - 1))
        elif interval.mean == 0:
            p_value = 1.0
    return Paired(*interval, p_value)


def paired_share_difference(hits: np.ndarray, baseline: np.ndarray) -> Paired | None:
    """The mean difference of two accuracies on the same pictures, seed by seed; None without seeds.

    The interval is over other seeds and other pictures: Student's over the seeds, and the normal one over the pictures' mean differences
    with one picture more for either side, so that it has a width where both answer alike; distances add in squares, within [-1, 1].
    p is that of the paired t-test over the seeds.

    Args:
        hits: (seeds, n) bool, whether each picture was right.
        baseline: (seeds, n) bool, of the other network from the same seeds.

    Source: Bonett and Price, 2012, Journal of Educational and Behavioral Statistics 37(4), for the added pictures; Zou and Donner as in
        `share_interval`.
    """
    seeds = paired_difference(hits.mean(1).tolist(), baseline.mean(1).tolist())
    if seeds is None:
        return None
    of_pictures = hits.mean(0) - baseline.mean(0)  # (n,)
    count = len(of_pictures) + 2
    variance = (float(np.square(of_pictures).sum()) + 2) / count - (float(of_pictures.sum()) / count) ** 2
    half = math.hypot(Z_95 * math.sqrt(variance / count), 0.0 if seeds.low is None else seeds.difference - seeds.low)
    return Paired(seeds.difference, max(-1.0, seeds.difference - half), min(1.0, seeds.difference + half), seeds.p_value)


def least_sign_flip_p(count: int) -> float:
    """The smallest two-sided p that a test by flipping the signs of `count` differences can give: 2 / 2^count.

    Source: Fisher, 1935, "The design of experiments", section 21.
    """
    return float(min(1.0, 2.0 ** (1 - count)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Each p corrected for there being several; what is None stays and does not count.

    Source: Holm, 1979, Scandinavian Journal of Statistics 6(2).
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected
