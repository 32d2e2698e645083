"""The local engine's way with shards that end badly; the shards themselves are played."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from imagebatch import records as records_module
from imagebatch.batch import lifecycle, shard_reports, work_queue
from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.intake import RecordedIntake
from imagebatch.batch.lifecycle import Desired, Phase, Waiting
from imagebatch.batch.plan import Plan
from imagebatch.batch.shard import Report, ShardId, commit, write_fragment
from imagebatch.batch.spec import BatchSpec
from imagebatch.batch.work_queue import Key
from imagebatch.csv.ingest import ingest
from imagebatch.errors import StoreError
from imagebatch.metrics import BatchMetrics
from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy
from imagebatch.options import Compression
from imagebatch.outcome import Counts, ImageOutcome
from imagebatch.records import NewRequest, Records, Request
from imagebatch.settings import DatabaseSettings, NetworkSettings, S3Settings
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.webhook import Dispatcher
from imagebatch_cli import process_executor
from imagebatch_cli.engine import LocalEngine, Services
from imagebatch_cli.shards import ShardEnd, ShardProcesses, ShardWork
from imagebatch_testing.local import csv_of
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.postgres_proxy import before
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

SHARDS = 3
ORDINARY = Desired()


class PlayedShards(ShardProcesses):
    """Ends each shard as the table says, run by run; without an entry it is done."""

    def __init__(self, store: MemoryStore, ends: Mapping[int, list[int]]) -> None:
        super().__init__(S3Settings(s3_bucket="none"), NetworkSettings(), Path(), at_once=2)
        self._store = store
        self._ends = {shard: list(codes) for shard, codes in ends.items()}
        self.runs: Counter[int] = Counter()

    async def run(self, shard: ShardId, work: ShardWork) -> ShardEnd:
        assert (work.compression.quality, work.plan_key) == ("60", keys.plan("r1"))
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
    records: Records, store: MemoryStore, shards: ShardProcesses, desired: Desired = ORDINARY
) -> Request:
    """Run an engine until the request is at its end."""
    spec = BatchSpec(compression=Compression(quality="60"), desired=desired)
    await records.create(
        NewRequest(request_id="r1", spec=spec.as_spec(), rows=SHARDS, images=SHARDS, webhook_url="http://h/")
    )
    finished = asyncio.Event()
    engine = LocalEngine(
        Services("engine", records, AsyncStore(store), shards, finished.set, BatchMetrics(records))
    )
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


async def test_a_mark_that_comes_after_the_end_is_no_defect(records: Records, store: MemoryStore) -> None:
    planned(store)
    finished = asyncio.Event()
    spec = BatchSpec(compression=Compression(quality="60"))
    await records.create(
        NewRequest(request_id="r1", spec=spec.as_spec(), rows=SHARDS, webhook_url="http://h/")
    )
    engine = LocalEngine(
        Services(
            "engine", records, AsyncStore(store), PlayedShards(store, {}), finished.set, BatchMetrics(records)
        )
    )
    running = asyncio.create_task(engine.run())
    await finished.wait()
    await until(lambda: not engine._attempts)
    attempts = engine._queue.attempts
    engine._queue.mark(Key("local", "r1"))
    await until(lambda: engine._queue.attempts > attempts)
    assert engine._queue.failures == 0
    running.cancel()
    await asyncio.wait([running])


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
    request = await ended(records, store, PlayedShards(store, {}), Desired(cancel=True))
    assert (request.status, request.phase, request.error) == ("failed", Phase.CANCELLED, "cancelled")


async def test_a_lost_plan_fails_the_batch_in_words(records: Records, store: MemoryStore) -> None:
    request = await ended(records, store, PlayedShards(store, {}))
    assert request.status == "failed"
    assert "plan" in str(request.error)


class TroubledStore(MemoryStore):
    """Fails to read keys with `words` in them, `times` times."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.times = "", 0

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        if self.words and self.words in key and self.times:
            self.times -= 1
            raise StoreError("S3: IncompleteRead")
        return super().get(key, offset=offset, length=length, etag=etag)


class SlowShards(PlayedShards):
    """Runs each shard until it may end, or is stopped."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, {})
        self.stopped: list[int] = []
        self.may_end = asyncio.Event()

    async def run(self, shard: ShardId, work: ShardWork) -> ShardEnd:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped.append(shard.index)
            raise
        return await super().run(shard, work)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_queue, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(process_executor, "LOOK_S", 0.01)
    monkeypatch.setattr(shard_reports, "LOOK_GAP_S", 0.0)


@pytest.mark.usefixtures("no_pauses")
async def test_a_progress_object_that_cannot_be_read_stops_no_shard(records: Records) -> None:
    store = TroubledStore()
    planned(store)
    shards = SlowShards(store)
    store.words, store.times = ".progress.", 1_000_000
    running = asyncio.create_task(ended(records, store, shards))
    await until(lambda: store.times <= 999_990)
    shards.may_end.set()
    assert (await running).status == "complete"
    assert shards.stopped == []


@pytest.mark.usefixtures("no_pauses")
async def test_a_database_error_stops_no_shard(
    records: Records, store: MemoryStore, database_url: str, tmp_path: Path
) -> None:
    planned(store)
    shards = SlowShards(store)
    async with before(database_url, tmp_path) as proxy:
        settings = DatabaseSettings(DATABASE_URL=proxy.url)  # type: ignore[call-arg]
        async with records_module.connect(settings) as through:
            proxy.lose_words, proxy.cut_s = "SET phase", 0.3
            running = asyncio.create_task(ended(through, store, shards))
            await until(lambda: bool(proxy.lost))
            shards.may_end.set()
            await running
    found = await records.get("r1")
    assert found is not None
    assert found.status == "complete"
    assert shards.stopped == []


@pytest.mark.usefixtures("no_pauses")
async def test_a_report_that_cannot_be_read_is_asked_for_until_it_can(records: Records) -> None:
    store = TroubledStore()
    planned(store)
    store.words, store.times = "a1/00001.json", 3
    shards = PlayedShards(store, {})
    assert (await ended(records, store, shards)).counts.succeeded == 3
    assert shards.runs[1] == 1


async def test_a_merge_whose_input_is_gone_fails_the_batch(records: Records, store: MemoryStore) -> None:
    planned(store)
    shards = PlayedShards(store, {})
    store.delete([keys.canonical_input("r1")])
    request = await ended(records, store, shards)
    assert (request.phase, request.reason) == (Phase.FAILED, "InputLost")


async def test_a_batch_that_waits_says_why(records: Records, store: MemoryStore) -> None:
    planned(store)
    shards = PlayedShards(store, {index: [Exit.TEMPORARY] * 3 for index in range(SHARDS)})
    running = asyncio.create_task(ended(records, store, shards))

    async def waiting() -> Waiting | None:
        found = await records.get("r1")
        return found.waiting if found is not None else None

    async def waits() -> bool:
        return await waiting() is not None

    await until(waits)
    told = await waiting()
    assert told is not None
    assert told.reason == "StoreUnavailable"
    assert "said the jobrunner" in told.message
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_cancelled_batch_counts_what_was_not_tried(records: Records, store: MemoryStore) -> None:
    planned(store)
    finish(store, ShardId("r1", 1, 1))
    request = await ended(records, store, PlayedShards(store, {}), Desired(cancel=True))
    counts = request.counts
    assert (counts.total, counts.succeeded, counts.failed, counts.skipped) == (3, 1, 0, 2)
    assert (request.reason, request.errors_by_code) == ("Cancelled", {})
    assert store.get(keys.errors("r1")).decode().count(",not_tried,") == 2


async def test_a_batch_that_gains_nothing_for_long_ends_with_what_it_has(
    records: Records, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here after half a second: the last shard's runs end as temporary, again and again."""
    monkeypatch.setattr(lifecycle, "MAX_FRUITLESS_S", 0.5)
    monkeypatch.setattr(process_executor, "backoff_seconds", lambda _: 0.05)
    planned(store)
    shards = PlayedShards(store, {2: [Exit.TEMPORARY] * 1000})
    request = await ended(records, store, shards)
    assert (request.phase, request.reason) == (Phase.FAILED, "NoProgress")
    assert request.error is not None
    assert "nothing was gained for a day" in request.error
    assert "said the jobrunner" in request.error
    assert (request.counts.succeeded, request.counts.skipped) == (2, 1)
    assert store.get(keys.output("r1")).decode().count("/images/") == 2
    assert 1 < shards.runs[2] < 1000


async def test_a_small_batch_costs_eight_statements_at_most(
    records: Records, store: MemoryStore, database_url: str, tmp_path: Path
) -> None:
    """From the upload's row to the end, with its webhook sent."""
    planned(store)

    async def is_delivered() -> bool:
        state = await records.delivery("r1")
        return state is not None and state.state == "delivered"

    async with before(database_url, tmp_path) as proxy:
        settings = DatabaseSettings(DATABASE_URL=proxy.url)  # type: ignore[call-arg]
        async with records_module.connect(settings) as through, Receiver() as receiver:
            policy = AddressPolicy.parse("127.0.0.0/8")
            async with transport.client(policy, connections=1, timeout=httpx.Timeout(5)) as client:
                dispatcher = Dispatcher(through, client, no_secret)
                shards = PlayedShards(store, {})
                engine = LocalEngine(
                    Services(
                        "engine", through, AsyncStore(store), shards, dispatcher.wake, BatchMetrics(through)
                    )
                )
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(dispatcher.run()), group.create_task(engine.run())]
                    await until(lambda: len(proxy.statements) >= 3)  # what both look at when they start
                    proxy.statements.clear()
                    intake = RecordedIntake(through, engine.wake)
                    spec = BatchSpec(compression=Compression(quality="60"))
                    url = receiver.url("/hook")
                    new = NewRequest(request_id="r1", spec=spec.as_spec(), images=SHARDS, webhook_url=url)
                    assert await intake.submit(new)
                    await until(lambda: any("SET state" in text for text in proxy.statements))
                    await until(is_delivered)
                    for task in tasks:
                        task.cancel()
    assert 5 <= len(proxy.statements) <= 8, proxy.statements


async def no_secret(_: str) -> str:
    return ""
