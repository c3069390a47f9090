"""Which of other pictures were trained on: exact from the record of a run, estimated from the short form of a large one."""

from __future__ import annotations

import hashlib

from striate.data.identities import DIGEST_BYTES, Identities
from striate.data.recorded import SplitRecord


def pictures(split: str, *numbers: int) -> Identities:
    digests = tuple(hashlib.sha256(str(number).encode()).digest()[:DIGEST_BYTES] for number in numbers)
    return Identities(tuple(f"{split}/{number}.png" for number in numbers), digests)


def record(num_train: int) -> SplitRecord:
    none = Identities((), ())
    return SplitRecord(classes=("a", "b"), own_val=True, train=pictures("train", *range(num_train)), val=none, unused=none)


def test_copies_of_training_pictures_are_named():
    found = record(40).trained_on(pictures("test", 3, 100, 39, 101))

    assert (found.count, found.is_exact, found.names, found.num_known) == (2, True, ("test/3.png", "test/39.png"), 40)


def test_a_model_file_of_few_pictures_tells_exactly():
    assert record(40).brief().trained_on(pictures("test", 3, 100)) == record(40).trained_on(pictures("test", 3, 100))


def test_a_model_file_of_many_pictures_estimates_and_says_how_many_it_knows():
    test = pictures("test", *range(500), *range(10_000, 11_500))  # a quarter was trained on
    found = record(5_000).brief().trained_on(test)

    assert not found.is_exact and found.num_known == 512
    assert 400 < found.count < 600
    assert 0 < len(found.names) < 100 and set(found.names) <= {f"test/{number}.png" for number in range(500)}


def test_a_model_file_of_many_pictures_finds_nothing_among_new_ones():
    assert record(5_000).brief().trained_on(pictures("test", *range(10_000, 11_000))).count == 0
