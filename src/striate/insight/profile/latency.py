"""A record of the time that a network takes."""

from __future__ import annotations

from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The latency of a batch in inference: the network alone, without reading pictures."""

    batch_size: int
    num_runs: int
    latency_ms_p50: float
    latency_ms_p99: float
    images_per_second: float  # by the median
