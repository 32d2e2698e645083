"""What belongs to no batch goes from S3, and nothing else, whatever happened to the database."""

import asyncio
import hashlib
import json
from datetime import timedelta

import pytest

from imagebatch.batch import gc
from imagebatch.batch.collector import Collector
from imagebatch.batch.retention import Amount, KeepDays, Policy
from imagebatch.batch.sweep import Sweeper, Swept
from imagebatch.records import NewRequest, Records
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import JSON, ObjectStore, Unfinished
from imagebatch_testing.finished_batches import FinishedBatches, csv_keys, image_keys, working_keys
from imagebatch_testing.memory_store import MemoryStore

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

POLICY = Policy(keep=KeepDays(), orphan_days=2.0)
AT_ONCE = Policy(keep=KeepDays(), orphan_days=1e-9)


@pytest.fixture
async def batches(records: Records, store: MemoryStore, database_url: str) -> FinishedBatches:
    """One batch that has its row; the database is as if it were new."""
    made = FinishedBatches(records, store, database_url)
    await made.execute(
        "UPDATE object_sweeps SET number = 0, knows_since = now() - interval '1 year', "
        "held_until = now() - interval '1 second', swept_at = now()"
    )
    await made.make("known")
    return made


def orphans() -> list[str]:
    """What an upload whose row was never written left, and what nobody knows how it came."""
    return [*working_keys("lost"), *csv_keys("lost"), *image_keys("lost")]


def others() -> list[str]:
    """What is not ours to judge."""
    return [
        *working_keys("known"),
        *csv_keys("known"),
        *image_keys("known"),
        "imports/shop/products.csv",
        "csvfile/notes.txt",
        "batches/README",
    ]


def leave(store: ObjectStore) -> None:
    """What there is in the bucket, days ago."""
    for key in [*orphans(), *others()]:
        store.put(key, b"12345", JSON)


def sweeper_of(batches: FinishedBatches, policy: Policy = POLICY) -> Sweeper:
    return Sweeper(batches.records, AsyncStore(batches.store), policy)


async def mark_of(batches: FinishedBatches) -> str:
    """The key of the database's mark."""
    return keys.database_mark((await batches.records.retentions.sweep()).database)


async def swept(sweeper: Sweeper, pause_s: float = 0.0) -> list[Swept]:
    return [each async for each in sweeper.sweep(pause_s)]


async def test_what_belongs_to_no_batch_goes_and_nothing_else(
    batches: FinishedBatches, store: MemoryStore
) -> None:
    leave(store)
    store.is_ahead = timedelta(days=2, minutes=1)
    sweeper = sweeper_of(batches)
    expected = [each async for each in sweeper.survey()]
    assert batches.left() == {*orphans(), *others()}
    assert await swept(sweeper) == expected
    assert batches.left() == {*others(), await mark_of(batches)}
    assert {each.place: each.amount for each in expected} == {
        keys.batch_prefix("lost"): Amount(3, 15),
        keys.image_prefix("lost"): Amount(3, 15),
        keys.CSV_FILES: Amount(2, 10),
    }
    assert await swept(sweeper) == []


async def test_by_itself_only_inputs_that_never_ran_go(batches: FinishedBatches, store: MemoryStore) -> None:
    leave(store)
    never_ran = {f"{keys.batch_prefix('upload')}{name}-{'0' * 32}" for name in ("input.csv", "plan.json")}
    for key in never_ran:
        store.put(key, b"1", JSON)
    store.is_ahead = timedelta(days=3)
    await batches.execute("UPDATE object_sweeps SET swept_at = now() - interval '25 hours'")
    await sweeper_of(batches).sweep_if_due()
    assert batches.left() == {*orphans(), *others(), await mark_of(batches)}


async def test_batches_of_another_database_in_the_bucket_are_nobodys_orphans(
    batches: FinishedBatches, store: MemoryStore
) -> None:
    """Two machines with a Postgres each may share a bucket."""
    leave(store)
    store.put(keys.database_mark("another"), b'{"database": "another", "number": 0, "server": ""}', JSON)
    store.is_ahead = timedelta(days=3)
    sweeper = sweeper_of(batches)
    assert await swept(sweeper) == []
    assert "another database" in sweeper.distrusted
    assert set(orphans()) <= batches.left()
    store.put(keys.database_mark("another"), b"not JSON", JSON)
    assert await swept(sweeper) == []


async def test_what_is_young_by_the_stores_own_clock_stays(
    batches: FinishedBatches, store: MemoryStore
) -> None:
    leave(store)
    store.is_ahead = timedelta(days=1.9)
    assert await swept(sweeper_of(batches)) == []
    store.is_ahead = timedelta(days=2.1)
    store.put(f"{keys.batch_prefix('lost')}input-{'0' * 32}.csv", b"new", JSON)
    gone = await swept(sweeper_of(batches))
    assert keys.batch_prefix("lost") not in {each.place for each in gone}, "somebody uploads there now"
    assert set(working_keys("lost")) <= batches.left()


async def test_what_is_older_than_the_databases_memory_stays(
    batches: FinishedBatches, store: MemoryStore
) -> None:
    """A database that was made anew knows nothing of the batches from before."""
    leave(store)
    store.is_ahead = timedelta(days=3)
    await batches.execute("UPDATE object_sweeps SET knows_since = now() + interval '1 hour'")
    assert await swept(sweeper_of(batches)) == []
    assert {*orphans(), *others()} <= batches.left()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("TRUNCATE processing_requests, webhook_deliveries", "no batch at all"),
        ("UPDATE object_sweeps SET database = 'made anew'", "another database"),
        ("UPDATE object_sweeps SET number = number - 1", "restored from a backup"),
    ],
    ids=["empty", "other", "backup"],
)
async def test_a_database_that_lost_rows_proves_nothing_till_somebody_says_so(
    batches: FinishedBatches, store: MemoryStore, damage: str, reason: str
) -> None:
    sweeper = sweeper_of(batches)
    await swept(sweeper)
    leave(store)
    store.is_ahead = timedelta(days=3)
    name = await mark_of(batches)
    mark = store.get(name)
    store.begun.append(Unfinished("batches/known/input.csv", "u1", store.now() - timedelta(days=2.1)))
    await batches.execute(damage)
    for _ in range(3):
        assert [each.is_unfinished for each in await swept(sweeper)] in ([True], [])
        assert reason in sweeper.distrusted
        assert store.get(name) == mark
    assert store.begun == []
    assert {*orphans(), *others()} <= batches.left()
    if reason != "no batch at all":
        await sweeper.trust()
        assert len(await swept(sweeper)) == 3
        assert not sweeper.distrusted


async def test_the_mark_says_which_database_and_which_sweep(
    batches: FinishedBatches, store: MemoryStore
) -> None:
    sweeper = sweeper_of(batches)
    name, numbers = await mark_of(batches), []
    for call in (
        sweeper.register,
        sweeper.register,
        lambda: swept(sweeper),
        lambda: swept(sweeper),
        sweeper.register,
    ):
        await call()
        second = json.loads(store.get(name))
        numbers.append(second["number"])
    assert numbers == [0, 0, 1, 2, 2]
    assert (name, second["server"] != "") == (keys.database_mark(second["database"]), True)


async def test_what_is_promised_is_no_orphan(batches: FinishedBatches, store: MemoryStore) -> None:
    leave(store)
    store.is_ahead = timedelta(days=3)

    async def promised() -> set[str]:
        return {"lost"}

    sweeper = Sweeper(batches.records, AsyncStore(store), POLICY, promised=promised)
    assert await swept(sweeper) == []
    assert set(orphans()) <= batches.left()


async def test_a_sweep_is_made_once_a_day_and_by_one(batches: FinishedBatches, records: Records) -> None:
    await sweeper_of(batches).sweep_if_due()
    assert (await records.retentions.sweep()).number == 0, "not within a day of the last one"
    await batches.execute("UPDATE object_sweeps SET swept_at = now() - interval '25 hours'")
    assert await records.retentions.next_seconds(POLICY, "") == 0
    await asyncio.gather(*(sweeper_of(batches).sweep_if_due() for _ in range(3)))
    assert (await records.retentions.sweep()).number == 1
    seconds = await records.retentions.next_seconds(POLICY, "")
    assert seconds is not None
    assert 86_000 < seconds <= 86_400


async def test_who_lost_the_sweep_removes_no_further_page(
    batches: FinishedBatches, records: Records, store: MemoryStore
) -> None:
    leave(store)
    store.is_ahead = timedelta(days=3)
    sweeping = sweeper_of(batches).sweep()
    await anext(sweeping)
    await records.retentions.release_all()
    assert await records.retentions.claim_sweep(60, 0) is not None
    assert [each async for each in sweeping] == []
    assert (await records.retentions.sweep()).number == 0


async def test_no_orphan_days_keep_everything(batches: FinishedBatches, store: MemoryStore) -> None:
    leave(store)
    store.is_ahead = timedelta(days=300)
    assert await swept(sweeper_of(batches, Policy(keep=KeepDays()))) == []
    assert set(orphans()) <= batches.left()


@pytest.mark.usefixtures("batches")
async def test_a_folder_of_images_is_known_by_its_hash(records: Records) -> None:
    names = ["known", "x" * 63, "0a2ef0d5-35ca-4f3c-8b53-8b6ad43b4b1c"]
    for name in names[1:]:
        await records.create(NewRequest(request_id=name))
    folders = [keys.image_folder(name) for name in names]
    assert folders[0] == hashlib.sha256(b"images:known").hexdigest()[:32]
    assert await records.retentions.known_folders([*folders, keys.image_folder("lost")]) == set(folders)
    assert await records.retentions.known_ids(["known", "lost"]) == {"known"}


async def test_on_the_real_s3_gc_removes_what_its_dry_run_names(
    batches: FinishedBatches, s3_store: S3Store
) -> None:
    real = FinishedBatches(batches.records, s3_store, batches.url)
    leave(s3_store)
    s3_store._client._create_multipart_upload("imagebatch", "batches/lost/input.csv", {})
    await asyncio.sleep(1.1)  # S3 tells whole seconds
    sweeper = sweeper_of(real, AT_ONCE)
    collector = Collector(real.records, AsyncStore(s3_store), AT_ONCE, sweeper)
    dry = await gc.run(collector, sweeper, is_dry_run=True)
    assert real.left() == {*orphans(), *others()}
    done = await gc.run(collector, sweeper, is_dry_run=False)
    assert dry.document() | {"dry_run": False} == done.document()
    assert done.total == Amount(8, 40)
    assert done.uploads == ["batches/lost/input.csv"]
    assert real.left() == {*others(), await mark_of(batches)}
    assert list(s3_store.unfinished("")) == []
    assert list(done.lines())[-1] == "removed: 8 objects, 40 bytes, 1 unfinished uploads"
