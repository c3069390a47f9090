"""The counts and times of a server, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

TIMES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # s
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # pictures


class Metrics:
    """The counts of one server."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("striate_requests", "Answers by path and status.", ("path", "status"), registry=registry)
        self.seconds = Histogram("striate_request_seconds", "Time of a request.", ("path",), buckets=TIMES, registry=registry)
        self.pictures = Counter("striate_pictures", "Pictures by model and result.", ("model", "result"), registry=registry)
        self.batches = Histogram("striate_batch_pictures", "Pictures of a batch.", ("model",), buckets=SIZES, registry=registry)
        self.waiting = Gauge("striate_queue_pictures", "Pictures that wait.", registry=registry)
        self.dropped = Counter(
            "striate_dropped_pictures", "Pictures that nobody waited for any more when it was their turn.", registry=registry
        )
        self.lost = Counter("striate_lost_workers", "Processes of models that ended or hung.", registry=registry)
        self.reloads = Counter("striate_reloads", "Model files that changed, by result.", ("result",), registry=registry)
        self.ready = Gauge("striate_ready", "1 if every model answers.", registry=registry)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
