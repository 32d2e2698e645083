"""What /metrics shows. One registry an app; every label has a small closed set of values."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "imagebatch_http_requests",
            "HTTP requests by method, route and class of status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.upload_seconds = Histogram(
            "imagebatch_upload_seconds",
            "How long uploads took, accepted or not.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.uploads_in_progress = Gauge(
            "imagebatch_uploads_in_progress", "Uploads that run now.", registry=self.registry
        )
        self.upload_bytes = Counter(
            "imagebatch_upload_bytes", "Bytes of upload bodies taken in.", registry=self.registry
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)
