"""Intervals and paired tests against scipy's own, against tables and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from striate.core.intervals import (
    holm,
    least_sign_flip_p,
    paired_difference,
    paired_share_difference,
    share_in_words,
    share_interval,
    t_interval,
    wilson_interval,
)

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


def test_an_accuracy_that_two_seeds_agree_on_is_as_uncertain_as_its_pictures():
    """727 pictures, 90 % of them right: Wilson's interval, and not one of no width."""
    found = share_interval([0.9, 0.9], 727)

    assert found is not None
    assert (found.low, found.high) == pytest.approx(wilson_interval(0.9 * 727, 727))


def test_the_distances_of_seeds_and_pictures_add_in_squares():
    """Three seeds 0.8, 0.85, 0.9: t 4.303 times 0.05 / sqrt(3) is 0.1242."""
    found, (low, high) = share_interval([0.8, 0.85, 0.9], 100), wilson_interval(85, 100)

    assert found is not None and found.low is not None and found.high is not None
    assert found.mean - found.low == pytest.approx(((0.85 - low) ** 2 + 0.1242**2) ** 0.5, abs=1e-4)
    assert found.high == pytest.approx(min(1, 0.85 + ((high - 0.85) ** 2 + 0.1242**2) ** 0.5), abs=1e-4)


def test_no_interval_of_an_accuracy_leaves_its_range():
    found = share_interval([0.9, 1.0], 20)

    assert found is not None and found.high == 1.0
    assert share_interval([1.0, 1.0, 1.0], 20) == (1.0, pytest.approx(wilson_interval(20, 20)[0]), 1.0)
    assert share_interval([], 20) is None


def test_one_training_has_the_interval_of_its_pictures():
    assert share_interval([0.5], 40) == (0.5, *(pytest.approx(limit) for limit in wilson_interval(20, 40)))


def test_folds_take_the_wider_of_the_two_distances():
    """Their spread holds that of the pictures, as each fold has its own."""
    of_folds, of_seeds = (share_interval([0.8, 0.85, 0.9], 100, same_images=same) for same in (False, True))

    assert of_folds is not None and of_folds.low is not None and of_seeds is not None and of_seeds.low is not None
    assert of_folds.mean - of_folds.low == pytest.approx(max(0.85 - wilson_interval(85, 100)[0], 0.1242), abs=1e-4)
    assert of_folds.low > of_seeds.low


def test_the_interval_holds_the_true_accuracy_of_simulated_trainings():
    """Each training is right with 0.85 + noise of 0.02, on 200 pictures of their own difficulty; 95 % is what it should hold."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(500):
        difficulty = rng.normal(0, 0.1, 200)
        shares = [(rng.random(200) < np.clip(0.85 + difficulty + rng.normal(0, 0.02), 0, 1)).mean() for _ in range(4)]
        found = share_interval(shares, 200)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= 0.845 <= found.high  # the mean of the clipped chances
    assert held >= 0.93 * 500


def test_networks_that_answer_alike_differ_by_nothing_within_what_pictures_allow():
    """Bonett and Price: one more picture for either side, so 1.96 sqrt(2 / 102) / sqrt(102) for 100 pictures."""
    hits = np.random.default_rng(0).random((2, 100)) < 0.8

    found = paired_share_difference(hits, hits)

    assert found is not None and found.high is not None
    assert found.difference == 0 and found.p_value == 1
    assert found.high == pytest.approx(1.96 * (2 / 102) ** 0.5 / 102**0.5, rel=1e-3)


def test_a_paired_difference_of_accuracies_is_wider_than_its_seeds_alone():
    rng = np.random.default_rng(1)
    ours, theirs = rng.random((3, 300)) < 0.9, rng.random((3, 300)) < 0.8

    found, seeds = paired_share_difference(ours, theirs), paired_difference(ours.mean(1).tolist(), theirs.mean(1).tolist())

    assert found is not None and seeds is not None and found.low is not None and seeds.low is not None
    assert found.difference == pytest.approx(ours.mean() - theirs.mean())
    assert found.low < seeds.low
    assert found.p_value == seeds.p_value


def test_holm_corrects_as_in_its_paper():
    """0.01, 0.02, 0.03 of three: 0.03, 0.04, 0.04; what is None does not count."""
    assert holm([0.02, None, 0.01, 0.03]) == pytest.approx([0.04, None, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_least_p_of_a_sign_flip_is_two_of_all_flips():
    assert [least_sign_flip_p(count) for count in (1, 3, 6)] == [1.0, 0.25, 0.03125]


def test_a_share_in_words_has_the_interval_of_its_whole_number():
    """Agresti and Coull, 1998: of 10 out of 10, the score interval begins at 10 / (10 + 1.96^2)."""
    assert share_in_words(1.0, 10) == "1.0000 (95 % interval 0.7225 to 1.0000)"
