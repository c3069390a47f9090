"""Validation splits: stratified, seeded, and independent of the order and the place of the files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import DataError, UsageError
from striate.core.images import ImageSpec
from striate.data.records import Facts, ImageSet
from striate.data.splits import Division, few_of, split_train_val


def image_set(counts: tuple[int, ...], root: str = "photos") -> ImageSet:
    """`counts` pictures of each class; the pixels of picture k say k."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.arange(len(labels)).astype(np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
    classes = tuple(f"class{k}" for k in range(len(counts)))
    paths = tuple(os.path.join(root, classes[label], f"{place}.jpg") for place, label in enumerate(labels))  # noqa: PTH118
    return ImageSet("photos", "train", images, labels, classes, paths)


def names(images: ImageSet) -> set[str]:
    return {Path(path).name for path in images.paths}


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.1, (4, 2, 1, 1)), (0.5, (20, 10, 2, 1)), (0.25, (10, 5, 1, 1)), (0.99, (39, 19, 2, 1))]
)
def test_each_class_gives_its_share_and_keeps_one(fraction: float, expected: tuple[int, ...]):
    """40, 20, 3 and 2 pictures: the share of each is rounded, at least 1, and at least 1 stays. round(1.5) is 2."""
    images = image_set((40, 20, 3, 2))
    train, val = split_train_val(images, fraction=fraction)
    assert tuple(np.bincount(val.labels)) == expected
    assert tuple(np.bincount(train.labels) + np.bincount(val.labels)) == (40, 20, 3, 2)
    assert (train.split, val.split) == ("train", "val")
    assert names(train).isdisjoint(names(val)) and names(train) | names(val) == names(images)


def test_pictures_labels_and_names_stay_together():
    images = image_set((30, 20))
    for part in split_train_val(images, fraction=0.3, seed=5):
        for pixels, label, path in zip(part.images, part.labels, part.paths, strict=True):
            number = int(Path(path).stem)
            assert (pixels == number).all() and label == images.labels[number] and path == images.paths[number]


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_files():
    images = image_set((60, 50))
    mixed = images.take(np.random.default_rng(1).permutation(110))
    _, val = split_train_val(images, seed=1)
    assert names(split_train_val(mixed, seed=1)[1]) == names(val)
    assert names(split_train_val(images, seed=2)[1]) != names(val)


@pytest.mark.parametrize("root", ["./photos", "/data/photos", "../elsewhere/deep/er", "/data/photos/train", "ph\udcffotos", "a b/ü"])
def test_the_split_does_not_depend_on_where_the_folder_lies(root: str):
    """Training may name a folder by a relative path, evaluation by an absolute one, on another machine."""
    expected = names(split_train_val(image_set((30, 30)))[1])
    assert names(split_train_val(image_set((30, 30), root))[1]) == expected


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_outside_0_and_1_is_refused(fraction: float):
    with pytest.raises(UsageError, match=r"must lie between 0 and 1, got"):
        split_train_val(image_set((5, 5)), fraction=fraction)


def test_the_single_picture_of_a_class_is_trained_on():
    train, val = split_train_val(image_set((5, 1, 1)))

    assert (np.bincount(train.labels).tolist(), np.bincount(val.labels).tolist()) == ([4, 1, 1], [1])


def test_classes_of_one_picture_each_cannot_hold_one_out():
    with pytest.raises(DataError, match=r"each class has 1 training picture; at least 2 are needed to hold one out") as caught:
        split_train_val(image_set((1, 1, 1)))
    assert caught.value.exit_code == 3
    assert "a val split" in caught.value.remedy


@pytest.mark.parametrize(("count", "expected"), [(65, (40, 20, 3, 2)), (32, (20, 10, 1, 1)), (4, (1, 1, 1, 1)), (13, (8, 3, 1, 1))])
def test_few_of_many_keep_the_shares_of_the_classes(count: int, expected: tuple[int, ...]):
    """40, 20, 3 and 2 pictures: of 65, a half is 20, 10, 1.5 and 1; at least one of each stays."""
    few = few_of(image_set((40, 20, 3, 2)), count)
    assert len(few) == count
    assert np.abs(np.bincount(few.labels) - expected).max() <= 1
    np.testing.assert_array_equal([int(Path(path).stem) for path in few.paths], few.images[:, 0, 0, 0])
    assert list(few.images[:, 0, 0, 0]) == sorted(few.images[:, 0, 0, 0])


def test_fewer_are_among_more_whatever_the_order_and_another_seed_draws_others():
    images = image_set((40, 20, 3))
    order = np.random.default_rng(0).permutation(63)
    assert names(few_of(images, 7)) < names(few_of(images, 30)) < names(images)
    assert names(few_of(images.take(order), 30)) == names(few_of(images, 30))
    assert names(few_of(images, 30, seed=1)) != names(few_of(images, 30))


def test_too_few_or_too_many_are_refused():
    images = image_set((4, 3))
    for count in (1, 8):
        with pytest.raises(UsageError, match=rf"train_images must be 2 \(one of each class\) to 7 of photos, got {count}"):
            few_of(images, count)


class Recorded:
    """A source that says what was read of it."""

    name = "photos"

    def __init__(self, **parts: ImageSet) -> None:
        self.parts, self.reads, self.splits = parts, [], tuple(parts)

    def read(self, split: str, *, spec: ImageSpec | None = None, places: np.ndarray | None = None) -> ImageSet:
        self.reads.append(split)
        return self.parts[split] if places is None else self.parts[split].take(places)

    def strata(self, split: str) -> tuple[np.ndarray, tuple[str, ...]]:
        return self.parts[split].labels, self.parts[split].classes

    def paths(self, split: str) -> tuple[str, ...]:
        return self.parts[split].paths

    def facts(self, split: str) -> Facts:
        return self.parts[split].facts


def test_a_part_reads_no_more_than_itself_and_asks_the_number_trained_on_of_train_alone():
    """So val of another, smaller data set can be asked for, and train where a picture of val is damaged."""
    spec = ImageSpec(height=2, width=3, channels=1, mean=(0.5,), std=(0.5,))
    divided, own = Recorded(train=image_set((40, 20))), Recorded(train=image_set((40, 20)), val=image_set((4, 3)))
    many = Division(train_images=1000)

    assert len(many.part(divided, "val", spec)) == 6 and len(many.part(own, "val", spec)) == 7
    assert (divided.reads, own.reads) == (["train"], ["val"])
    with pytest.raises(UsageError, match="train_images must be"):
        many.part(divided, "train", spec)
    assert len(Division(train_images=10).part(own, "train", spec)) == 10
    assert own.reads == ["val", "train"]
