"""Confidence bounds of shares with few pictures."""

from __future__ import annotations

import math

Z = 2.33  # one-sided, 1 %


def share_below(hits: float, count: int, z: float = Z) -> float:
    """The lower bound of Wilson's interval of hits / count."""
    if not count:
        return 0.0
    p, n = hits / count, float(count)
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n))


def gap_of(one: float, one_count: int, other: float, other_count: int) -> float:
    """The least by which share `one` is above `other`, up to chance: the lower bound of Newcombe's interval of their difference.

    Source: Newcombe, 1998, Statistics in Medicine 17, 873-890, method 10.
    """
    below = one - share_below(one * one_count, one_count)
    above = (1 - share_below((1 - other) * other_count, other_count)) - other
    return one - other - math.hypot(below, above)


def tail_probability(hits: int, count: int, share: float) -> float:
    """That of `hits` or fewer of `count`, each with probability `share`."""
    return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(hits + 1))
