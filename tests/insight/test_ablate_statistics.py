"""Intervals and paired tests against scipy's own and against tables."""

from __future__ import annotations

import pytest
from scipy import stats

from striate.insight.ablate.statistics import paired_difference, t_interval

FIRST, SECOND = [0.71, 0.74, 0.69, 0.77, 0.72], [0.70, 0.70, 0.68, 0.71, 0.73]


def test_the_interval_of_five_seeds_has_the_t_of_the_table() -> None:
    """t of 4 degrees of freedom at 97.5 % is 2.776; the deviation of 1, 2, 3, 4, 5 is sqrt(2.5)."""
    interval = t_interval([1, 2, 3, 4, 5])

    assert interval is not None and interval.low is not None and interval.high is not None
    assert interval.mean == 3
    assert interval.high - interval.mean == pytest.approx(2.776 * (2.5 / 5) ** 0.5, rel=1e-3)
    assert interval.mean - interval.low == pytest.approx(interval.high - interval.mean)


def test_the_paired_difference_is_scipys_paired_t_test() -> None:
    peer = stats.ttest_rel(FIRST, SECOND)
    ours = paired_difference(FIRST, SECOND)

    assert ours is not None
    assert ours.p_value == pytest.approx(peer.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(peer.confidence_interval(0.95)))


def test_few_seeds_give_what_they_can() -> None:
    assert t_interval([]) is None
    assert t_interval([0.5]) == (0.5, None, None)
    assert paired_difference([0.5], [0.25]) == (0.25, None, None, None)
    assert paired_difference(FIRST, FIRST) == (0, 0, 0, 1.0)
    constant = paired_difference([0.75, 0.5], [0.5, 0.25])
    assert constant is not None and constant.p_value is None
