"""Splits and folds by groups: no group is divided, and the classes stay as balanced as the groups allow."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from striate.core.errors import DataError
from striate.data.grouping import grouped_folds, held_out_groups
from striate.data.splits import fold_places, held_out_places


def people(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The labels and persons of about ten pictures each, of three classes, of which each person has mostly one."""
    random = np.random.default_rng(seed)
    sizes = random.integers(5, 16, count)
    groups = np.repeat([f"person {number}" for number in range(count)], sizes)
    labels = np.concatenate([random.choice(3, size, p=np.roll([0.7, 0.2, 0.1], number)) for number, size in enumerate(sizes)])
    return labels, groups


def test_whole_groups_are_held_out_near_to_the_share_of_each_class():
    labels, groups = people()
    held_out = held_out_places(labels, [], (), fraction=0.2, seed=0, groups=groups)

    assert not set(groups[held_out]) & set(groups[~held_out])
    for label in range(3):
        assert held_out[labels == label].mean() == pytest.approx(0.2, abs=0.05)


def test_the_groups_held_out_depend_on_their_names_and_the_seed_alone():
    labels, groups = people()
    order = np.random.default_rng(1).permutation(len(labels))
    held_out = held_out_groups(labels, groups, fraction=0.2, seed=0)

    np.testing.assert_array_equal(held_out_groups(labels[order], groups[order], fraction=0.2, seed=0), held_out[order])
    assert (held_out_groups(labels, groups, fraction=0.2, seed=1) != held_out).any()


def test_a_class_of_one_group_stays_in_training():
    """Of two groups of a's and one of b's, b cannot be held out without losing it; of the a's, the group nearer to the half."""
    labels = np.array([0] * 10 + [1] * 4)
    groups = np.array(["x"] * 6 + ["y"] * 4 + ["z"] * 4)

    held_out = held_out_groups(labels, groups, fraction=0.3, seed=0)

    assert set(groups[held_out]) == {"y"}
    with pytest.raises(DataError, match="all training pictures are of one group"):
        held_out_groups(labels, np.array(["x"] * 14), fraction=0.3, seed=0)


def test_folds_by_groups_are_as_balanced_as_scikit_learns():
    labels, groups = people()
    folds = fold_places(labels, [], (), count=5, seed=0, groups=groups)

    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    theirs = np.zeros(len(labels), np.int64)
    for number, (_, test) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
        theirs[test] = number
    spread = [np.std([[(dealt[labels == label] == fold).mean() for fold in range(5)] for label in range(3)]) for dealt in (folds, theirs)]
    assert spread[0] <= spread[1] + 0.005


def test_no_fold_is_empty_and_more_folds_than_groups_are_refused():
    labels, groups = np.array([0, 1] * 6), np.repeat(["a", "b", "c"], [8, 2, 2])

    assert set(grouped_folds(labels, groups, count=3, seed=0)) == {0, 1, 2}
    with pytest.raises(DataError, match="of 3 groups whose classes others have too, for 4 folds"):
        grouped_folds(labels, groups, count=4, seed=0)
    folds = grouped_folds(np.array([*labels, 2]), np.array([*groups, "d"]), count=3, seed=0)
    assert folds[-1] == -1 and set(folds[:-1]) == {0, 1, 2}
