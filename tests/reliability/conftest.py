"""Processes that train together."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest

COUNT = itertools.count()


def free_port() -> str:
    """A port that nobody listens on, and that the system gives to nobody who asks for any (Linux has 32768 and above for those)."""
    for place in COUNT:
        port = 12000 + (os.getpid() * 37 + place) % 20000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return str(port)
    raise AssertionError


@pytest.fixture(name="free_port", scope="session")
def give_free_port() -> Callable[[], str]:
    return free_port


@pytest.fixture(scope="session")
def ranks(forked: Any) -> Callable[..., list[Any]]:
    """Start processes that train together, a job of `forked` for each: they know from the environment which one they are."""

    def start(jobs: Iterable[dict[str, Any]], **setting: str) -> list[Any]:
        jobs = list(jobs)
        shared = {**setting, "WORLD_SIZE": str(len(jobs)), "MASTER_PORT": free_port()}
        return [forked.start(setting={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, **job) for rank, job in enumerate(jobs)]

    return start
