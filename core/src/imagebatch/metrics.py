"""What is counted of batches, under the same names in the operator and on one machine.

No label ever names a batch, a host or a user: the number of series must not grow with time. docs/metrics.md
is the list. Counters are of what this process saw; what stands in Postgres is asked for when metrics are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from typing import Protocol, TypeVar
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from imagebatch.batch.executor import ShardCounts
from imagebatch.batch.lifecycle import Phase
from imagebatch.batch.retention import Amount
from imagebatch.batch.shard import STAGES
from imagebatch.batch.shard_reports import ImageTally, ShardReports
from imagebatch.batch.work_queue import WorkQueue
from imagebatch.errors import RecordsError
from imagebatch.outcome import ErrorCode
from imagebatch.records import Delivery, Records, Request
from imagebatch.records.standings import Standing
from imagebatch.webhook import TryResult

ASK_S = 5.0
"""Prometheus gives up after ten seconds: what Postgres does not say by then is left out."""

STAGE_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)

R = TypeVar("R")


class _Driver(Protocol):
    @property
    def shards(self) -> ShardCounts | None: ...


class BatchMetrics:
    """The metrics of one operator or local system, in a registry of their own."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.registry = CollectorRegistry()
        self._drivers: WeakSet[_Driver] = WeakSet()
        self._standing = _StandingCollector()
        self._ended = self._counter("batches_ended", "Batches that ended, by phase.", "phase")
        self._images = self._counter(
            "images", "Images by outcome and, where they failed, by error code.", "outcome", "code"
        )
        self._bytes = self._counter("image_bytes", "Bytes of stored images before and after.", "direction")
        self._image_seconds = self._counter(
            "image_seconds", "Seconds that images spent in a stage of a shard, waits included.", "stage"
        )
        self._stages = Histogram(
            "imagebatch_batch_stage_seconds",
            "How long batches took: wait to start, read a source, merge, and all from start to end.",
            ["stage"],
            buckets=STAGE_SECONDS,
            registry=self.registry,
        )
        self._deliveries = self._counter("webhook_tries", "Tries to deliver a webhook, by result.", "result")
        self._removed_objects = self._counter("removed_objects", "Objects that were no longer kept.", "kind")
        self._removed_bytes = self._counter("removed_bytes", "Their bytes.", "kind")
        self._begin()
        self.registry.register(self._standing)
        self.registry.register(_ShardsCollector(self._drivers))

    def _begin(self) -> None:
        """At zero, or Prometheus would not see the first of each: a series that begins at 1 never rose."""
        for phase in (each for each in Phase if each.is_terminal):
            self._ended.labels(phase.value)
        for outcome, code in [
            ("succeeded", ""),
            ("skipped", ""),
            *(("failed", str(code)) for code in ErrorCode),
        ]:
            self._images.labels(outcome, code)
        for stage in STAGES:
            self._image_seconds.labels(stage)
        for stage in ("wait", "read", "merge", "all"):
            self._stages.labels(stage)
        for direction in ("in", "out"):
            self._bytes.labels(direction)
        for result in ("delivered", "failed", "given_up"):
            self._deliveries.labels(result)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"imagebatch_{name}", documentation, labels, registry=self.registry)

    async def text(self) -> bytes:
        """All of it, in Prometheus's format. What Postgres does not answer is left out."""
        try:
            async with asyncio.timeout(ASK_S):
                self._standing.shown = await self._records.standings.now()
        except (RecordsError, TimeoutError):
            self._standing.shown = None
        return generate_latest(self.registry)

    def watch_queue(self, queue: WorkQueue) -> None:
        """Show how the engine's queue stands. Once for a registry."""
        self.registry.register(_QueueCollector(queue))

    def watch_driver(self, driver: _Driver) -> None:
        """Count the driver's shards for as long as it lives."""
        self._drivers.add(driver)

    def count_images(self, before: ImageTally, now: ImageTally) -> None:
        """Count what was not known `before`."""
        self._images.labels("succeeded", "").inc(max(now.counts.succeeded - before.counts.succeeded, 0))
        self._images.labels("skipped", "").inc(max(now.counts.skipped - before.counts.skipped, 0))
        for code, images in now.errors.items():
            self._images.labels("failed", code).inc(max(images - before.errors.get(code, 0), 0))
        self._bytes.labels("in").inc(max(now.counts.bytes_in - before.counts.bytes_in, 0))
        self._bytes.labels("out").inc(max(now.counts.bytes_out - before.counts.bytes_out, 0))
        for stage, seconds in now.seconds.items():
            self._image_seconds.labels(stage).inc(max(seconds - before.seconds.get(stage, 0.0), 0.0))

    def count_end(self, request: Request) -> None:
        """Count a batch whose end this program committed."""
        self._ended.labels(request.phase.value).inc()
        if request.started_at is not None and request.finished_at is not None:
            started = request.started_at
            self._stages.labels("wait").observe(max((started - request.created_at).total_seconds(), 0.0))
            self._stages.labels("all").observe((request.finished_at - started).total_seconds())

    def timed(self, stage: str, work: Callable[[], Awaitable[R]]) -> Callable[[], Awaitable[R]]:
        """The same work; when it succeeds, how long it took is seen as a batch's stage."""

        async def timed() -> R:
            begun = perf_counter()
            done = await work()
            self._stages.labels(stage).observe(perf_counter() - begun)
            return done

        return timed

    def count_delivery(self, _: Delivery, result: TryResult) -> None:
        """Count a try to deliver a webhook."""
        self._deliveries.labels(result).inc()

    def count_removed(self, kind: str, amount: Amount) -> None:
        """Count a page of what was removed."""
        self._removed_objects.labels(kind).inc(amount.objects)
        self._removed_bytes.labels(kind).inc(amount.bytes)


class BatchTally:
    """What was counted of one attempt. What a driver finds when it begins was counted by another."""

    def __init__(self, metrics: BatchMetrics) -> None:
        self._metrics = metrics
        self._counted: ImageTally | None = None
        self._shards_done: int | None = None

    def look(self, reports: ShardReports) -> None:
        """See the shards done; nothing is summed up while no further one is."""
        if len(reports.done) != self._shards_done:
            self._shards_done = len(reports.done)
            self.see(reports.tally())

    def see(self, now: ImageTally) -> None:
        """Count what is new; the first time, nothing."""
        if self._counted is not None:
            self._metrics.count_images(self._counted, now)
        self._counted = now

    def see_end(self, request: Request) -> None:
        """Count the end, and the images that only the merge knows of."""
        self._metrics.count_end(request)
        seconds = self._counted.seconds if self._counted else {}
        self.see(ImageTally(request.counts, request.errors_by_code, seconds))


class _StandingCollector(Collector):
    """What the rows said when it was asked for last."""

    shown: Standing | None = None

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "imagebatch_postgres_up", "Whether Postgres said what follows.", int(self.shown is not None)
        )
        if self.shown is None:
            return
        batches = GaugeMetricFamily(
            "imagebatch_batches_pending", "Batches that are not at their end, by phase.", labels=["phase"]
        )
        for phase, number in self.shown.batches.items():
            batches.add_metric([phase], number)
        yield batches
        yield GaugeMetricFamily(
            "imagebatch_oldest_pending_batch_seconds",
            "For how long the oldest of them that is not suspended has been there; 0 for none.",
            self.shown.oldest_batch_seconds,
        )
        yield GaugeMetricFamily(
            "imagebatch_webhooks_pending", "Webhooks that are not delivered yet.", self.shown.webhooks
        )
        yield GaugeMetricFamily(
            "imagebatch_oldest_pending_webhook_seconds",
            "For how long the oldest of them has been there; 0 for none.",
            self.shown.oldest_webhook_seconds,
        )


class _ShardsCollector(Collector):
    """The shards of the batches that are under way, looked at when asked."""

    def __init__(self, drivers: "WeakSet[_Driver]") -> None:
        self._drivers = drivers

    def collect(self) -> Iterable[Metric]:
        known = [driver.shards for driver in list(self._drivers)]
        under_way = [shards for shards in known if shards is not None]
        shards = GaugeMetricFamily(
            "imagebatch_shards", "Shards of batches under way: at work, or waiting.", labels=["state"]
        )
        shards.add_metric(["running"], sum(each.active for each in under_way))
        shards.add_metric(["waiting"], sum(each.waiting for each in under_way))
        yield shards


class _QueueCollector(Collector):
    """The work queue, looked at when asked."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("imagebatch_queue_keys", "Batches that are looked after.", len(self._queue))
        yield CounterMetricFamily("imagebatch_reconciles", "Looks at a batch.", self._queue.attempts)
        yield CounterMetricFamily(
            "imagebatch_reconcile_failures", "Looks that ended in an error.", self._queue.failures
        )
