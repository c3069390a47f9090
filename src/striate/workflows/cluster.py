"""A Ray cluster: one on this machine that ends with the work, or one that runs already."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from striate.core.errors import EnvironmentFault, UsageError

OLDEST_RAY = (2, 50)
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0", set before Ray is imported: a cluster that Ray starts here listens on 127.0.0.1
STORE = 128 * 2**20  # bytes of shared memory of such a cluster; Ray's own choice is 30 % of the machine's memory


def check_cluster(on: str | None) -> None:
    """Refuse what is neither `ray` nor `ray=ADDRESS`.

    Raises:
        UsageError: it is.
    """
    if on is not None and on.partition("=")[0] != "ray":
        raise UsageError(f"`on` must be ray or ray=ADDRESS, got {on!r}")


def lacks_ray() -> str:
    """The reason why Ray cannot be used here; empty if it can."""
    if "ray" not in sys.modules and "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault(LOOPBACK_ONLY, "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        return "Ray is not installed"
    version = tuple(int(part) for part in ray.__version__.split(".")[:2] if part.isdigit())
    return f"Ray {ray.__version__} is older than {'.'.join(map(str, OLDEST_RAY))}" if version < OLDEST_RAY else ""


@contextmanager
def ray_cluster(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at `address` or in `RAY_ADDRESS`, or to a new one on this machine.

    Raises:
        EnvironmentFault: there is no cluster at the address.
    """
    import ray

    known = address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {} if known else {"object_store_memory": STORE, "include_dashboard": False}
    try:
        ray.init(address=known or "local", ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EnvironmentFault(f"`on='ray'`: no cluster at {known}: {error}", "Start one with `ray start --head`.") from None
    try:
        yield ray
    finally:
        ray.shutdown()
