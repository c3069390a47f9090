"""Tiny steps are computed on one thread, and the caller's number of threads is left alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from striate.models.threads import each_on_one_thread, on_one_thread


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def counted(closed: list[bool]) -> Iterator[int]:
    """The number of threads at each event."""
    try:
        for _ in range(3):
            yield torch.get_num_threads()
    finally:
        closed.append(True)


def test_each_event_is_computed_on_one_thread_and_the_caller_keeps_its_number():
    closed: list[bool] = []
    for threads in on_one_thread(counted(closed)):
        assert (threads, torch.get_num_threads()) == (1, 2)
    assert closed


def test_a_training_that_is_left_midway_leaves_the_number_of_threads_as_it_was():
    """As after Ctrl-C in a notebook, which keeps the traceback and with it the training."""
    closed: list[bool] = []
    events = on_one_thread(counted(closed))
    next(events)
    assert torch.get_num_threads() == 2

    events.close()
    assert closed
    assert torch.get_num_threads() == 2


def test_an_error_in_an_event_leaves_the_number_of_threads_as_it_was():
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(on_one_thread(broken()))
    assert torch.get_num_threads() == 2


def test_each_item_is_computed_on_one_thread_of_several_at_once():
    barrier = threading.Barrier(2)  # nobody passes it alone

    def work(item: int) -> tuple[int, int]:
        barrier.wait(timeout=30)
        return item, torch.get_num_threads()

    assert each_on_one_thread(work, range(4)) == [(item, 1) for item in range(4)]
    assert torch.get_num_threads() == 2
    assert each_on_one_thread(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]
    assert each_on_one_thread(lambda item: item, []) == []


def test_an_error_of_an_item_is_raised_and_leaves_the_number_of_threads_as_it_was():
    with pytest.raises(ZeroDivisionError):
        each_on_one_thread(lambda item: 1 / item, [2, 1, 0])
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2  # what new threads start with
