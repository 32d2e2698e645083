"""What the operator counts. No label ever names a batch: their number must not grow with time."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from imagebatch.batch.retention import Amount
from imagebatch.batch.work_queue import WorkQueue
from imagebatch.records import Request


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ended = Counter(
            "imagebatch_batches_ended", "Batches that ended, by phase.", ["phase"], registry=self.registry
        )
        self.images = Counter(
            "imagebatch_images", "Images of ended batches, by result.", ["result"], registry=self.registry
        )
        self.seconds = Histogram(
            "imagebatch_batch_seconds",
            "From start to end of a batch.",
            buckets=(1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400),
            registry=self.registry,
        )

        self.removed_objects = Counter(
            "imagebatch_removed_objects",
            "Objects that were no longer kept.",
            ["kind"],
            registry=self.registry,
        )
        self.removed_bytes = Counter(
            "imagebatch_removed_bytes", "Their bytes.", ["kind"], registry=self.registry
        )

    def count_removed(self, kind: str, amount: Amount) -> None:
        """Count a page of what was removed."""
        self.removed_objects.labels(kind).inc(amount.objects)
        self.removed_bytes.labels(kind).inc(amount.bytes)

    def watch(self, queue: WorkQueue) -> None:
        self.registry.register(_QueueCollector(queue))

    def count_end(self, request: Request) -> None:
        """Count a batch whose end this operator was the first to show."""
        self.ended.labels(request.phase.value).inc()
        self.images.labels("succeeded").inc(request.counts.succeeded)
        self.images.labels("failed").inc(request.counts.failed)
        self.images.labels("skipped").inc(request.counts.skipped)
        if request.started_at is not None and request.finished_at is not None:
            self.seconds.observe((request.finished_at - request.started_at).total_seconds())


class _QueueCollector(Collector):
    """The work queue, looked at when asked."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("imagebatch_queue_keys", "Objects that are looked after.", len(self._queue))
        yield CounterMetricFamily("imagebatch_reconciles", "Attempts to reconcile.", self._queue.attempts)
        yield CounterMetricFamily(
            "imagebatch_reconcile_failures", "Attempts that ended in an error.", self._queue.failures
        )
