"""The local engine's way with shards that end badly; the shards themselves are played."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from imagebatch import keys
from imagebatch.batches import BatchSpec
from imagebatch.exits import Exit
from imagebatch.ingest import ingest
from imagebatch.lifecycle import Phase, Wish
from imagebatch.options import Compression
from imagebatch.outcome import Counts, ImageOutcome
from imagebatch.plan import Plan
from imagebatch.records import NewRequest, Records, Request
from imagebatch.settings import NetworkSettings, S3Settings
from imagebatch.shard import Report, ShardId, commit, write_fragment
from imagebatch_cli.engine import Collaborators, LocalEngine
from imagebatch_cli.shards import ShardEnd, ShardProcesses
from imagebatch_testing.local import csv_of
from imagebatch_testing.memory_store import MemoryStore

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

SHARDS = 3
ORDINARY = Wish()


class PlayedShards(ShardProcesses):
    """Ends each shard as the table says, run by run; without an entry it is done."""

    def __init__(self, store: MemoryStore, ends: Mapping[int, list[int]]) -> None:
        super().__init__(S3Settings(s3_bucket="none"), NetworkSettings(), Path(), at_once=2)
        self._store = store
        self._ends = {shard: list(codes) for shard, codes in ends.items()}
        self.runs: Counter[int] = Counter()

    async def run(self, shard: ShardId, compression: Compression) -> ShardEnd:
        assert compression.quality == "60"
        self.runs[shard.index] += 1
        codes = self._ends.get(shard.index, [])
        if codes:
            return ShardEnd(codes.pop(0), "said the jobrunner")
        finish(self._store, shard)
        return ShardEnd(Exit.DONE, "")


def finish(store: MemoryStore, shard: ShardId) -> None:
    row = shard.index + 1
    outcome = ImageOutcome(row=row, slot=1, name=keys.image_name(row, 1, "jpg"), bytes_in=9, bytes_out=4)
    fragment = write_fragment(store, shard, "run", [outcome])
    commit(store, shard, Report("run", fragment, 1, Counts().with_outcome(outcome)))


def planned(store: MemoryStore) -> Plan:
    content = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(SHARDS)])
    return ingest(store, "r1", [content], rows_per_shard=1).plan


async def ended(
    records: Records, store: MemoryStore, shards: ShardProcesses, wish: Wish = ORDINARY
) -> Request:
    """Run an engine until the request is at its end."""
    spec = BatchSpec(compression=Compression(quality="60"), wish=wish)
    await records.create(
        NewRequest(request_id="r1", spec=spec.as_spec(), rows=SHARDS, images=SHARDS, webhook_url="http://h/")
    )
    finished = asyncio.Event()
    engine = LocalEngine(Collaborators(records, store, shards, finished.set))
    running = asyncio.create_task(engine.run())
    async with asyncio.timeout(60):
        await finished.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    found = await records.get("r1")
    assert found is not None
    return found


async def test_a_batch_is_run_merged_and_committed(records: Records, store: MemoryStore) -> None:
    planned(store)
    shards = PlayedShards(store, {})
    request = await ended(records, store, shards)
    assert (request.status, request.counts) == ("complete", Counts(3, 3, 0, 27, 12))
    assert shards.runs == {0: 1, 1: 1, 2: 1}
    assert store.head(keys.output("r1")) is not None
    assert await records.delivery("r1") is not None


async def test_shards_that_reported_before_are_not_run_again(records: Records, store: MemoryStore) -> None:
    planned(store)
    finish(store, ShardId("r1", 1, 1))
    shards = PlayedShards(store, {})
    assert (await ended(records, store, shards)).status == "complete"
    assert shards.runs == {0: 1, 2: 1}


async def test_a_temporary_end_is_tried_again(records: Records, store: MemoryStore) -> None:
    planned(store)
    shards = PlayedShards(store, {2: [Exit.TEMPORARY]})
    assert (await ended(records, store, shards)).counts.succeeded == 3
    assert shards.runs[2] == 2


async def test_a_poison_shard_fails_alone(records: Records, store: MemoryStore) -> None:
    planned(store)
    request = await ended(records, store, PlayedShards(store, {1: [Exit.POISON_SHARD]}))
    assert (request.status, request.errors_by_code) == ("complete", {"shard_failed": 1})
    errors = store.get(keys.errors("r1")).decode()
    assert "http://shop.example/1.jpg,shard_failed," in errors


async def test_a_defect_fails_the_batch_in_words_with_its_output(
    records: Records, store: MemoryStore
) -> None:
    planned(store)
    request = await ended(records, store, PlayedShards(store, {0: [Exit.DEFECT]}))
    assert (request.phase, request.error) == (Phase.FAILED, "said the jobrunner")
    assert request.output_key is not None


async def test_a_cancelled_batch_says_so(records: Records, store: MemoryStore) -> None:
    planned(store)
    request = await ended(records, store, PlayedShards(store, {}), Wish(cancel=True))
    assert (request.status, request.phase, request.error) == ("failed", Phase.CANCELLED, "cancelled")


async def test_a_lost_plan_fails_the_batch_in_words(records: Records, store: MemoryStore) -> None:
    request = await ended(records, store, PlayedShards(store, {}))
    assert request.status == "failed"
    assert "plan" in str(request.error)
