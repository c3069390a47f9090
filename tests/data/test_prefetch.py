"""Preparing ahead: the same results in the same order, really ahead, and no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from striate.core.errors import DataError, EnvironmentFault, UsageError
from striate.data.augmentation.record import Augmentation
from striate.data.batches import Batches
from striate.data.prefetch import prepared
from striate.data.records import ImageSet

MIXED = Augmentation(crop_padding=2, flip=True, rotation=10.0, policy="trivial", erasing=0.3, mixup=0.4, cutmix=1.0)


def image_set(count: int, images: np.ndarray | None = None) -> ImageSet:
    if images is None:
        images = np.random.default_rng(count).integers(0, 256, (count, 7, 9, 3), dtype=np.uint8)
    return ImageSet("some", "train", images, np.arange(count) % 3, ("a", "b", "c"), tuple(f"some/{k}.png" for k in range(count)))


def workers_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prepare")]


@pytest.mark.row("003-59")
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("start", [0, 5])
def test_any_number_of_workers_gives_the_batches_that_none_gives(workers: int, start: int):
    pictures = image_set(101)
    serial, ahead = (
        list(Batches(pictures, 8, seed=3, shuffle=True, augmentation=MIXED, workers=number).epoch(2, start)) for number in (0, workers)
    )
    assert len(serial) == len(ahead) == 13 - start
    for one, other in zip(serial, ahead, strict=True):
        assert [a is None for a in one] == [b is None for b in other]  # weights, which such pictures do not have
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True) if a is not None)
    assert not workers_alive()


@pytest.mark.row("003-59")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_come_in_the_order_of_the_tasks_whatever_each_takes(workers: int):
    def slow(task: int) -> int:
        time.sleep(0.01 * ((7 * task) % 4))
        return task * task

    assert list(prepared(range(20), slow, workers)) == [task * task for task in range(20)]


@pytest.mark.row("003-59")
def test_the_next_results_are_prepared_while_the_caller_works():
    """Each task waits until the caller holds the result of the one before: without a thread this would stand still."""
    held = [threading.Event() for _ in range(6)]

    def wait(task: int) -> int:
        if task:
            assert held[task - 1].wait(60)
        return task

    for task in prepared(range(6), wait, 1):
        held[task].set()


@pytest.mark.row("003-59")
@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_task_is_begun_while_the_caller_works_with_the_one_before_if_there_is_a_worker(workers: int):
    begun = [threading.Event() for _ in range(8)]

    def prepare(task: int) -> int:
        begun[task].set()
        return task

    for task in prepared(range(8), prepare, workers):
        assert all(begun[task + 1].wait(30) if workers else not begun[task + 1].is_set() for _ in range(task < 7))


def test_no_more_is_ahead_than_two_for_each_worker():
    started: list[int] = []

    def note(task: int) -> int:
        started.append(task)
        return task

    results = prepared(iter(range(100)), note, 2)
    next(results)
    time.sleep(0.1)
    assert len(started) <= 5
    results.close()  # type: ignore[attr-defined]


@pytest.mark.row("003-59")
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_closing_early_leaves_no_thread_behind(workers: int):
    before = threading.active_count()
    batches = Batches(image_set(200), 4, augmentation=MIXED, workers=workers)
    for number, _ in enumerate(batches.epoch(1)):
        if number == 2:
            break
    iterator = batches.epoch(1)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    never_begun = batches.epoch(1)
    del never_begun
    assert threading.active_count() == before and not workers_alive()


def test_an_exception_comes_in_its_place_and_ends_the_iterator():
    def fail_at_3(task: int) -> int:
        if task == 3:
            raise OSError("gone")
        return task

    for workers in (0, 2):
        results = prepared(range(9), fail_at_3, workers)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="gone"):
            next(results)
        assert list(results) == []
        assert not workers_alive()


class Damaged(np.ndarray):
    """Pictures of which number 13 cannot be read."""

    def __getitem__(self, key: object) -> np.ndarray:
        if isinstance(key, np.ndarray) and 13 in key:
            raise OSError("the disk says no")
        return np.asarray(super().__getitem__(key))


@pytest.mark.row("003-59")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_picture_that_cannot_be_prepared_is_named(workers: int):
    damaged = image_set(30).images.view(Damaged)
    batches = Batches(image_set(30, damaged), 4, workers=workers)  # it is the second of its batch
    with pytest.raises(DataError, match=r"some/13\.png: cannot be prepared for training: the disk says no"):
        list(batches.epoch(1))
    assert not workers_alive()


def test_what_fails_for_no_picture_alone_is_not_blamed_on_one(monkeypatch: pytest.MonkeyPatch):
    batches = Batches(image_set(8), 4)
    whole = batches._rows

    def too_many(indices: torch.Tensor) -> torch.Tensor:
        if len(indices) > 1:
            raise RuntimeError("out of memory")
        return whole(indices)

    monkeypatch.setattr(batches, "_rows", too_many)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(batches.epoch(1))


def test_workers_compute_on_one_core_each_and_the_callers_number_stays():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inside = set(prepared(range(12), lambda _: (time.sleep(0.01), torch.get_num_threads())[1], 2))
        new: list[int] = []
        thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert inside == {1} and torch.get_num_threads() == 2 and new == [2]
    finally:
        torch.set_num_threads(before)


def test_tasks_are_read_only_as_they_are_needed():
    read: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(50):
            read.append(task)
            yield task

    results = prepared(tasks(), lambda task: task, 1)
    assert read == []
    next(results)
    assert len(read) == 3
    results.close()  # type: ignore[attr-defined]


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(UsageError, match="workers must not be negative, got -1"):
        Batches(image_set(3), 2, workers=-1)


def test_threads_that_the_system_does_not_start_are_said_and_nobody_waits_for_them(monkeypatch: pytest.MonkeyPatch):
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def limited(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)

    with pytest.raises(EnvironmentFault, match=r"cannot start 3 threads that prepare batches: can't start new thread\nUse fewer `workers`"):
        next(prepared(range(9), str, 3))

    for thread in started:
        thread.join(60)
        assert not thread.is_alive()
