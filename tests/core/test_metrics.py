"""What is counted of batches, and what is said where Postgres says nothing."""

import re

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from imagebatch.batch.executor import ShardCounts
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.batch.shard_reports import ImageTally
from imagebatch.metrics import BatchMetrics, BatchTally
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Result, connect
from imagebatch.settings import DatabaseSettings

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

SUCCEEDED = ("imagebatch_images_total", ("code", ""), ("outcome", "succeeded"))
FORBIDDEN = ("imagebatch_images_total", ("code", "address_forbidden"), ("outcome", "failed"))
SKIPPED = ("imagebatch_images_total", ("code", ""), ("outcome", "skipped"))


@pytest.fixture
def metrics(records: Records) -> BatchMetrics:
    return BatchMetrics(records)


async def values(metrics: BatchMetrics) -> dict[tuple[object, ...], float]:
    """Each sample's value, by its name and labels."""
    families = text_string_to_metric_families((await metrics.text()).decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def a_tally(succeeded: int, forbidden: int, store_seconds: float = 0.0, skipped: int = 0) -> ImageTally:
    counts = Counts(10, succeeded, forbidden, succeeded * 100, succeeded * 60, skipped)
    return ImageTally(counts, {"address_forbidden": forbidden}, {"store": store_seconds})


async def test_images_are_counted_as_their_shards_end_and_each_once(metrics: BatchMetrics) -> None:
    tally = BatchTally(metrics)
    for seen in (a_tally(0, 0), a_tally(3, 1, 0.5), a_tally(3, 1, 0.5), a_tally(5, 2, 0.75)):
        tally.see(seen)
    found = await values(metrics)
    assert (found[SUCCEEDED], found[FORBIDDEN], found[SKIPPED]) == (5, 2, 0)
    assert found["imagebatch_image_bytes_total", ("direction", "in")] == 500
    assert found["imagebatch_image_bytes_total", ("direction", "out")] == 300
    assert found["imagebatch_image_seconds_total", ("stage", "store")] == 0.75


async def test_what_a_driver_finds_when_it_begins_was_counted_before(metrics: BatchMetrics) -> None:
    tally = BatchTally(metrics)
    tally.see(a_tally(4, 1))
    tally.see(a_tally(6, 1))
    found = await values(metrics)
    assert (found[SUCCEEDED], found[FORBIDDEN]) == (2, 0)


async def test_the_end_counts_what_only_the_merge_knows(metrics: BatchMetrics, records: Records) -> None:
    await records.create(NewRequest(request_id="r1", spec={}))
    request = await records.get("r1")
    assert request is not None
    tally = BatchTally(metrics)
    tally.see(a_tally(0, 0))
    tally.see(a_tally(4, 1))
    result = Result(
        Counts(10, 5, 2, 500, 300, 3), {"address_forbidden": 1, "shard_failed": 1}, None, None, None
    )
    ended = await records.finish(request, Ending(Phase.CANCELLED, "done"), result, "{}", "msg_1")
    assert ended is not None
    tally.see_end(ended)
    found = await values(metrics)
    assert (found[SUCCEEDED], found[FORBIDDEN], found[SKIPPED]) == (5, 1, 3)
    assert found["imagebatch_images_total", ("code", "shard_failed"), ("outcome", "failed")] == 1
    assert found["imagebatch_batches_ended_total", ("phase", "Cancelled")] == 1


async def test_every_series_begins_at_zero(metrics: BatchMetrics) -> None:
    found = await values(metrics)
    assert found[SUCCEEDED] == found[FORBIDDEN] == 0
    assert found["imagebatch_batches_ended_total", ("phase", "Failed")] == 0
    assert found["imagebatch_webhook_tries_total", ("result", "given_up")] == 0


async def test_what_waits_is_asked_of_postgres(
    metrics: BatchMetrics, records: Records, database_url: str
) -> None:
    for number in range(3):
        await records.create(NewRequest(request_id=f"r{number}", spec={}))
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE processing_requests SET created_at = now() - interval '1 hour' WHERE request_id = 'r1'"
    )
    await connection.execute(
        "UPDATE processing_requests SET suspended_at = now(), created_at = now() - interval '1 day' "
        "WHERE request_id = 'r2'"
    )
    await connection.close()
    found = await values(metrics)
    assert found["imagebatch_postgres_up",] == 1
    assert found["imagebatch_batches_pending", ("phase", "Pending")] == 2
    assert found["imagebatch_batches_pending", ("phase", "Suspended")] == 1
    assert 3600 <= found["imagebatch_oldest_pending_batch_seconds",] < 3700
    assert found["imagebatch_webhooks_pending",] == 0


async def test_without_postgres_the_rest_is_still_said(database_url: str) -> None:
    async with connect(DatabaseSettings(DATABASE_URL=database_url)) as records:  # type: ignore[call-arg]
        metrics = BatchMetrics(records)
    found = await values(metrics)  # its connections are closed
    assert found["imagebatch_postgres_up",] == 0
    assert found[SUCCEEDED] == 0
    assert not [key for key in found if re.match("imagebatch_(oldest|batches_pending|webhooks)", str(key[0]))]


class PlayedDriver:
    def __init__(self, shards: ShardCounts | None) -> None:
        self.shards = shards


async def test_shards_are_of_the_drivers_that_are_there(metrics: BatchMetrics) -> None:
    drivers = [PlayedDriver(ShardCounts(10, 3, 2, 1)), PlayedDriver(None), PlayedDriver(ShardCounts(5, 0, 5))]
    for each in drivers:
        metrics.watch_driver(each)
    found = await values(metrics)
    assert found["imagebatch_shards", ("state", "running")] == 7
    assert found["imagebatch_shards", ("state", "waiting")] == 4
    drivers.pop()
    del each
    found = await values(metrics)
    assert found["imagebatch_shards", ("state", "running")] == 2
