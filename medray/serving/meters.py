"""What Prometheus reads: requests by model and status, how long they took, what is under way."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass
class Call:
    """One request while it is answered: who answers sets the status."""

    status: int = 500


class Meters:
    """Counters of one process; Ray's own metrics have those of the replicas."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "medray_requests", "Requests answered", ("model", "status"), registry=registry
        )
        self._seconds = Histogram(
            "medray_request_seconds",
            "From the first byte to the answer",
            ("model",),
            buckets=SECONDS,
            registry=registry,
        )
        self._bytes = Counter(
            "medray_request_bytes", "Bodies taken in", ("model",), registry=registry
        )
        self._open = Gauge("medray_requests_open", "Requests under way", registry=registry)

    @contextmanager
    def call(self, model: str) -> Iterator[Call]:
        """Count a request. `model` is one that is served: names that others send are no labels."""
        call, started = Call(), time.monotonic()
        self._open.inc()
        try:
            yield call
        finally:
            self._open.dec()
            self._requests.labels(model, str(call.status)).inc()
            self._seconds.labels(model).observe(time.monotonic() - started)

    def refused(self, model: str, status: int) -> None:
        """Count a request that was turned away at the door."""
        self._requests.labels(model, str(status)).inc()

    def received(self, model: str, count: int) -> None:
        """Count the bytes of a body."""
        self._bytes.labels(model).inc(count)

    def text(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self._registry)
