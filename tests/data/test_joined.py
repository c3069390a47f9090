"""Several data sets as one: each picture once, labelled by name, in the order of the sets."""

from __future__ import annotations

import numpy as np

from striate.core.images import ImageSpec
from striate.data.arrays import open_arrays
from striate.data.joined import joined
from striate.data.records import DataSource

SPEC = ImageSpec(height=2, width=3, channels=1, mean=(0.5,), std=(0.5,))


def source(name: str, first: int, train: list[str], val: list[str] | None = None) -> DataSource:
    """Pictures of one colour each: `first` and up."""
    values = iter(range(first, 256))

    def part(labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([np.full((2, 3, 1), next(values), np.uint8) for _ in labels]), np.array(labels)

    splits = {"train": part(train)} | ({"val": part(val)} if val else {})
    return open_arrays(splits, name, to_train=False)


def test_pictures_of_all_sets_are_labelled_by_name_and_read_in_any_order():
    one, two = source("one", 10, ["b", "a", "b"], ["a"]), source("two", 20, ["c", "b"])

    both = joined([one, two], ("b", "a", "c"))

    train, val = both.read("train", spec=SPEC), both.read("val", spec=SPEC)
    assert train.labels.tolist() == [0, 1, 0, 2, 0]
    assert train.images[:, 0, 0, 0].tolist() == [10, 11, 12, 20, 21]
    assert (val.labels.tolist(), val.images[:, 0, 0, 0].tolist()) == ([1], [13])
    some = both.read("train", spec=SPEC, places=np.array([4, 0, 3, 2]))
    assert some.images[:, 0, 0, 0].tolist() == [21, 10, 20, 12]
    assert some.labels.tolist() == [0, 0, 2, 0]
    assert both.identities("train").names[-1].startswith("two/")


def test_a_picture_that_an_earlier_set_has_is_left_out_and_one_that_is_twice_in_a_set_stays():
    one = source("photos", 10, ["a", "b"], ["a"])  # 10, 11, and 12 in val
    two = source("photos", 11, ["c", "c", "c"])  # 11, 12, 13
    twice = joined([two, two.with_classes(("c",))], ("c",))

    both = joined([one, two], ("a", "b", "c"))

    assert both.read("train", spec=SPEC).images[:, 0, 0, 0].tolist() == [10, 11, 13]
    assert len(set(both.identities("train").names)) == 3  # two sets of one name
    assert twice.num_images("train") == 3
