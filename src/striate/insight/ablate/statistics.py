"""Intervals and paired differences over few seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean, and where that of endless seeds lies with 95 % confidence; no bounds from a single seed."""

    mean: float
    low: float | None
    high: float | None


class Paired(NamedTuple):
    """The mean difference of pairs, its interval, and the probability of one as large where there is none."""

    difference: float
    low: float | None
    high: float | None
    p_value: float | None


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
        if spread > 1e-12:
            from scipy.stats import t

            score = abs(interval.mean) / (spread / math.sqrt(len(differences)))
            p_value = float(2 * t.sf(score, len(differences) - 1))
        elif interval.mean == 0:
            p_value = 1.0
    return Paired(*interval, p_value)
