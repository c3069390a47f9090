"""Tiny steps are computed on one thread, and the caller's number of threads is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from striate.estimators.fitting import on_one_thread


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
