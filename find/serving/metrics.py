"""Metrics of the service, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one service, in their own registry, so that several services can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "find_requests", "Requests, by path and status", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "find_request_seconds", "Time from a request's first byte to its answer", ["path"], registry=self.registry
        )
        self.batches = Histogram(
            "find_batch_size",
            "Requests that one call of the model answered",
            ["work"],
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self.registry,
        )
        self.waiting = Gauge("find_waiting", "Requests that wait for the model", ["work"], registry=self.registry)
        self.images = Gauge("find_album_images", "Images of the album", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
