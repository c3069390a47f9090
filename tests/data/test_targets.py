"""Targets that are not one class a picture: numbers and sets of labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from striate.core.errors import DataError, UsageError
from striate.core.targets import TargetSpec
from striate.data.batches import Batches
from striate.data.sources import open_data
from striate.data.splits import split_train_val
from striate.data.targets import as_label_sets, as_numbers, standardized, target_spec, task_of

SETS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]])


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 5, 7, 3), dtype=np.uint8)


# ---- which task


@pytest.mark.parametrize(
    ("y", "task"),
    [
        ([0, 1, 2], "classify"),
        (["a", "b", "a"], "classify"),
        (np.eye(3), "classify"),
        (np.eye(3, dtype=bool), "classify"),
        ([[0], [1], [1]], "classify"),
        ([0.5, 1.0, 2.0], "regression"),
        ([0.0, 1.0, 1.0], "regression"),
        ([[0.5], [1.0]], "regression"),
        ([[0.5, 3.0], [1.0, 2.0]], "regression"),
        (SETS, "multilabel"),
        (SETS.astype(np.float32), "multilabel"),
        (SETS.astype(bool), "multilabel"),
        ([[1, 2], [3]], "classify"),
    ],
)
def test_the_targets_tell_what_they_are_for(y: Any, task: str):
    assert task_of(y) == task


def test_a_source_of_numbers_holds_them_as_they_are():
    y = np.array([[1.5, -2e9], [2.5, 1e-9], [0.0, 3.0]])
    source = open_data((pictures(3), y))
    images = source.read("train")
    assert (source.task, source.classes) == ("regression", ("y0", "y1"))
    np.testing.assert_array_equal(images.labels, y)
    assert open_data((pictures(3), y[:, 0])).classes == ("y",)


def test_whole_numbers_are_classes_unless_numbers_are_asked_for():
    y = np.array([3, 40, 3, 7])
    assert open_data((pictures(4), y)).classes == ("3", "7", "40")
    source = open_data((pictures(4), y), task="regression")
    np.testing.assert_array_equal(source.read("train").labels, [[3.0], [40.0], [3.0], [7.0]])


def test_sets_of_labels_keep_pictures_without_any(tmp_path: Path):
    np.savez(tmp_path / "tags.npz", x_train=pictures(4), y_train=SETS, x_test=pictures(2), y_test=SETS[:2], y_names=["sea", "sky", "sand"])
    source = open_data(tmp_path / "tags.npz")
    assert (source.task, source.classes) == ("multilabel", ("sea", "sky", "sand"))
    np.testing.assert_array_equal(source.read("train").labels, SETS)
    np.testing.assert_array_equal(source.read("test").labels, SETS[:2])


def test_batches_carry_numbers_as_float32_and_a_part_is_held_out():
    y = np.arange(20.0)[:, None] / 7
    images = open_data((pictures(20), y)).read("train")
    train, val = split_train_val(images, fraction=0.25, seed=1)
    assert (len(train), len(val), val.split) == (15, 5, "val")
    assert sorted([*train.labels[:, 0], *val.labels[:, 0]]) == y[:, 0].tolist()
    batch = next(iter(Batches(train, 4).epoch(1)))
    assert str(batch.labels.dtype) == "torch.float32" and batch.labels.shape == (4, 1)
    np.testing.assert_allclose(batch.labels, train.labels[:4], rtol=1e-7)


# ---- what is refused


@pytest.mark.parametrize(
    ("y", "task", "words"),
    [
        ([1.0, np.nan, 2.0], "regression", r"arrays: y must be finite numbers, but row 1 holds \[nan\]"),
        ([[1.0, 2.0], [3.0, np.inf], [0.0, 0.0]], "regression", r"row 1 holds \[3.0, inf\]"),
        ([1.0, 2.0], "regression", r"arrays: y has 2 rows for 3 pictures"),
        (["a", "b", "c"], "regression", r"arrays: y must be numbers of shape \(n,\) or \(n, k\), got <U1 \(3,\)"),
        (np.zeros((3, 2, 2)), "regression", r"got float64 \(3, 2, 2\)"),
        (np.zeros((3, 0)), "regression", r"got float64 \(3, 0\)"),
        ([[1, 2], [3], [1, 1]], "regression", r"arrays: y is not one array: its rows differ in length"),
        ([[0, 1], [2, 0], [1, 1]], "multilabel", r"arrays: y must be 0 or 1 for each label, but row 1 holds \[2.0, 0.0\]"),
        ([0.5, 1.0, 2.0], "classify", r"must be one whole number or one string per picture, got float64"),
        ([0, 1, 0], "segment", r"arrays cannot be used with `task='segment'`"),
    ],
)
def test_bad_targets_are_named(y: Any, task: Any, words: str):
    with pytest.raises(DataError, match=words):
        open_data((pictures(3), y), task=task)


def test_the_splits_must_have_the_same_columns_and_names_for_each(tmp_path: Path):
    arrays = {"x_train": pictures(4), "y_train": SETS, "x_test": pictures(2)}
    np.savez(tmp_path / "a.npz", **arrays, y_test=SETS[:2, :2])
    with pytest.raises(DataError, match=r"a\.npz: y_test has 2 columns, but the training split has 3"):
        open_data(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **arrays, y_test=SETS[:2], y_names=["sea", "sky"])
    with pytest.raises(DataError, match=r"y_names must be 3 different names, one per column of the targets, got sea, sky"):
        open_data(tmp_path / "b.npz")


def test_folders_and_named_sets_have_classes_only(tmp_path: Path):
    with pytest.raises(UsageError, match=re.escape("digits: has one class per picture, which `task='regression'` cannot use")):
        open_data("digits", task="regression")
    with pytest.raises(UsageError, match=r"which `task='multilabel'` cannot use\nGive an .npz file, or arrays \(X, y\)"):
        open_data(tmp_path, task="multilabel")


# ---- standardized


def test_numbers_are_learned_with_mean_0_and_deviation_1():
    y = np.array([[100.0, 5.0], [300.0, 5.0], [500.0, 5.0]])
    spec = target_spec("regression", y)
    assert spec is not None and spec.mean == (300.0, 5.0)
    assert spec.std == pytest.approx((200 * np.sqrt(2 / 3), 1.0))  # the second never changes
    learned = standardized(y, spec)
    np.testing.assert_allclose(learned.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(learned.std(0), [1, 0], atol=1e-12)
    np.testing.assert_array_equal(standardized(SETS, target_spec("multilabel", SETS)), SETS)
    assert target_spec("classify", np.array([0, 1])) is None


def test_a_target_spec_refuses_what_makes_no_sense():
    with pytest.raises(ValidationError, match="regression targets cannot have 1 means and 2 deviations"):
        TargetSpec(task="regression", mean=(0.0,), std=(1.0, 1.0))
    with pytest.raises(ValidationError, match="multilabel targets cannot have 1 means and 1 deviations"):
        TargetSpec(task="multilabel", mean=(0.0,), std=(1.0,))
    with pytest.raises(ValidationError, match="std positive"):
        TargetSpec(task="regression", mean=(0.0,), std=(0.0,))
    with pytest.raises(UsageError, match=r"targets must have shape \(N, 1\), got \(4, 3\)"):
        standardized(SETS, TargetSpec(task="regression", mean=(0.0,), std=(1.0,)))


def test_rows_may_come_as_lists_and_as_whole_numbers():
    assert as_numbers([1, 2], 2, "y").tolist() == [[1.0], [2.0]]
    assert as_label_sets([[True, False], [False, False]], 2, "y").tolist() == [[1.0, 0.0], [0.0, 0.0]]
