"""The number of threads for torch: one, if a second would wait longer than it works."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

ONE_THREAD_MACS = 5_000_000  # of a batch forward, below which a second thread costs more than it gains


@contextlib.contextmanager
def threads_for(macs: int) -> Iterator[None]:
    """Context in which torch computes on one thread if a batch takes few multiply-adds."""
    with _threads(1 if macs < ONE_THREAD_MACS else torch.get_num_threads()):
        yield


def on_one_thread(events: Iterator[Item]) -> Iterator[Item]:
    """The same events, each computed on one thread; between them, the number of threads is what it was.

    The operations of a tiny step last some microseconds. Two threads that meet at the end of each gain a quarter on a machine that
    does nothing else, and run twenty times slower than one where another program takes a core away now and then.
    """
    with contextlib.closing(events):  # type: ignore[type-var]  # an iterator that can be closed
        while True:
            try:
                with _threads(1):
                    event = next(events)
            except StopIteration:
                return
            yield event


def each_on_one_thread(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of `work` for each item, in order: each computed on one thread, with as many at once as torch has threads.

    So the result of an item does not depend on the number of threads, nor on how many items there are.
    """
    items, threads = list(items), torch.get_num_threads()
    with _threads(1):
        if threads == 1 or len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, items))


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
