"""Preparing what comes next in other threads, while the caller works with what is there.

Threads are enough: NumPy and torch release Python's global lock while they compute.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

from striate.core.errors import EnvironmentFault

Task = TypeVar("Task")
Result = TypeVar("Result")


def prepared(tasks: Iterable[Task], prepare: Callable[[Task], Result], workers: int) -> Iterator[Result]:
    """`prepare(task)` of each task, in the order of the tasks, with up to 2 `workers` results ahead of the caller.

    An exception comes where its result would have come, and ends the iterator; closing the iterator ends it too. Then no thread is left.

    Args:
        tasks: The tasks to prepare; read in the caller's thread.
        prepare: Must not depend on what was prepared before.
        workers: Threads, each of which computes on one core; 0 prepares each result in the caller's thread on demand.

    Raises:
        EnvironmentFault: the system does not let this process start so many threads.
    """
    if workers == 0:
        yield from map(prepare, tasks)
        return
    remaining = iter(tasks)
    with ThreadPoolExecutor(workers, thread_name_prefix="prepare") as pool:
        _compute_on_one_core(pool, workers)
        ahead: deque[Future[Result]] = deque(pool.submit(prepare, task) for task in islice(remaining, 2 * workers))
        try:
            while ahead:
                result = ahead.popleft().result()
                ahead.extend(pool.submit(prepare, task) for task in islice(remaining, 1))
                yield result
                del result  # the caller's alone
        finally:
            for future in ahead:
                future.cancel()


def _compute_on_one_core(pool: ThreadPoolExecutor, workers: int) -> None:
    """Let each thread of the pool, and no other, run torch's operations on one core, so that they do not contend with the caller's."""
    threads = torch.get_num_threads()
    barrier = threading.Barrier(workers)  # each thread takes one of the tasks

    def limit() -> None:
        torch.get_num_threads()  # a thread takes over the common number when it first asks, which must not be later
        torch.set_num_threads(1)
        barrier.wait()

    try:
        futures = [pool.submit(limit) for _ in range(workers)]
    except RuntimeError as error:  # can't start new thread
        barrier.abort()  # those that were started wait for all
        message = f"cannot start {workers} threads that prepare batches: {error}"
        raise EnvironmentFault(
            message, "Use fewer `workers`, or let this process start more (ulimit -u, or a container's limit)."
        ) from None
    for future in futures:
        future.result()
    torch.set_num_threads(threads)  # the number is each thread's own, but new threads start with what was set last
