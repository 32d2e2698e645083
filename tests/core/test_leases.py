"""Which engine drives which request, in a real Postgres; and the clock that deadlines go by."""

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from imagebatch.batch.known_row import KnownRow
from imagebatch.batch.lifecycle import Ending, Phase, Waiting
from imagebatch.batch.own_store import adopted
from imagebatch.errors import NotFoundError
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Request, Result
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import Media
from imagebatch.storage.store_id import StoreId
from imagebatch_testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio
integration = pytest.mark.integration


async def ids(records: Records, holder: str, store: str = "s1", seconds: float = 60) -> list[str]:
    taken = await records.leases.take(holder, store, seconds)
    return [request.request_id for request in taken if request.lease_holder == holder]


async def the_row(records: Records, request_id: str) -> Request:
    found = await records.get(request_id)
    assert found is not None
    return found


class Expire:
    """Lets all leases end, as time does."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self) -> None:
        connection = await asyncpg.connect(self._url)
        await connection.execute("UPDATE processing_requests SET lease_until = now() - interval '1 second'")
        await connection.close()


@pytest.fixture
def expire(database_url: str) -> Expire:
    return Expire(database_url)


@integration
async def test_what_one_engine_drives_no_other_does_until_its_lease_is_over(
    records: Records, expire: Expire
) -> None:
    for name in ("r1", "r2"):
        await records.create(NewRequest(request_id=name, store="s1"))
    assert await ids(records, "a") == ["r1", "r2"]
    assert await ids(records, "b") == []
    assert await ids(records, "a") == ["r1", "r2"], "it keeps them"
    await expire()
    assert await ids(records, "b") == ["r1", "r2"]
    assert await ids(records, "a") == []


@integration
async def test_a_lease_is_extended_once_half_of_it_is_over(records: Records, database_url: str) -> None:
    await records.create(NewRequest(request_id="r1", store="s1"))
    connection = await asyncpg.connect(database_url)

    async def left_s() -> float:
        left: float = await connection.fetchval(
            "SELECT extract(epoch FROM lease_until - now())::float8 FROM processing_requests"
        )
        return left

    await ids(records, "a", seconds=1000)
    await ids(records, "a", seconds=1900)
    assert 900 < await left_s() <= 1000, "more than half of it was left: nothing is written"
    await ids(records, "a", seconds=2100)
    assert 2000 < await left_s() <= 2100
    await connection.close()


@integration
async def test_one_that_stops_gives_its_leases_back(records: Records) -> None:
    await records.create(NewRequest(request_id="r1", store="s1"))
    assert await ids(records, "a") == ["r1"]
    await records.leases.give_back("b")
    assert await ids(records, "b") == []
    await records.leases.give_back("a")
    assert await ids(records, "b") == ["r1"]


@integration
async def test_an_engine_whose_place_was_taken_changes_nothing(records: Records, expire: Expire) -> None:
    await records.create(NewRequest(request_id="r1", store="s1", webhook_url="http://hook.example/"))
    (before,) = await records.leases.take("a", "s1", 60)
    await expire()
    (after,) = await records.leases.take("b", "s1", 60)
    ending = Ending(Phase.FAILED, "its own view", "InputLost")
    assert await records.progress(replace(before, phase=Phase.RUNNING, message="mine")) is None
    assert await records.finish(before, ending, Result(Counts()), "{}", "msg_1") is None
    assert (await the_row(records, "r1")).status == "pending"
    assert await records.delivery("r1") is None
    assert await records.progress(replace(after, phase=Phase.RUNNING)) is not None
    ended = await records.finish(after, Ending(Phase.COMPLETE, "done"), Result(Counts()), "{}", "msg_1")
    assert ended is not None
    assert ended.lease_holder is None, "so that a later attempt is anybody's"


@integration
async def test_a_request_whose_files_are_elsewhere_says_so_and_waits_for_its_own(records: Records) -> None:
    await records.create(NewRequest(request_id="r1", store="s2"))
    await records.create(NewRequest(request_id="of-an-earlier-version"))
    assert await ids(records, "a", "s1") == ["of-an-earlier-version"]
    waiting = (await the_row(records, "r1")).waiting
    assert waiting is not None
    assert waiting.reason == "OtherStore"
    assert waiting.message == "its files are on another S3 than this program's; run one that has that S3"
    (taken,) = await records.leases.take("b", "s2", 60)
    assert (taken.request_id, taken.store) == ("r1", "s2")
    at_work = await records.progress(replace(taken, phase=Phase.RUNNING, waiting=None))
    assert at_work is not None
    await ids(records, "a", "s1")
    assert (await the_row(records, "r1")).waiting is None, "somebody has it in hand"
    assert (await the_row(records, "of-an-earlier-version")).store == "s1"


@integration
async def test_requests_of_objects_are_their_operators(records: Records) -> None:
    await records.create(NewRequest(request_id="r1", owner="uid-1", store="s1"))
    assert await ids(records, "a") == []
    found = await the_row(records, "r1")
    waits = await records.progress(replace(found, waiting=Waiting("Queued", "its turn comes")))
    assert waits is not None
    assert waits.waiting == Waiting("Queued", "its turn comes")


@integration
async def test_what_a_deleted_request_left_is_removed_where_it_is(records: Records) -> None:
    await records.create(NewRequest(request_id="r1", store="s2"))
    found = await the_row(records, "r1")
    await records.finish(found, Ending(Phase.COMPLETE, "done"), Result(Counts()), "{}", "msg_1")
    assert await records.deletions.mark("r1")
    assert await records.deletions.next_seconds("s1") is None
    assert await records.deletions.claim(60, "s1") is None
    claim = await records.deletions.claim(60, "s2")
    assert claim is not None
    assert claim.request.request_id == "r1"


@integration
async def test_the_time_of_a_row_is_that_of_postgres(records: Records) -> None:
    """Whatever this machine's clock says: here it is a day ahead of Postgres's."""
    await records.create(NewRequest(request_id="r1"))
    started = await records.progress(replace(await the_row(records, "r1"), phase=Phase.RUNNING))
    assert started is not None
    assert started.started_at is not None
    assert timedelta(0) <= started.read_at - started.started_at < timedelta(minutes=1)
    day = timedelta(days=1)
    behind = replace(started, read_at=started.read_at - day, started_at=started.started_at - day)
    row = KnownRow(records, behind)
    first = row.now()
    assert first - behind.read_at < timedelta(minutes=1)
    assert row.now() > first, "it goes on"
    assert 0 <= behind.active_seconds(row.now()) < 60


@integration
def test_a_store_has_one_id(s3_store: S3Store) -> None:
    first, second = StoreId(s3_store), StoreId(s3_store)
    assert first.get() == second.get() == first.known
    assert len(first.known) == 32


class Overtaken(MemoryStore):
    """Another program makes the id after this one did not find it."""

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        try:
            return super().get(key, offset=offset, length=length, etag=etag)
        except NotFoundError:
            self.put(key, b"theirs", Media("text/plain"))
            raise


def test_of_two_that_make_the_id_the_first_counts() -> None:
    assert StoreId(Overtaken()).get() == "theirs"


@integration
async def test_a_request_whose_plan_is_here_is_of_this_store_whatever_its_row_says(records: Records) -> None:
    """Somebody removed the store's id, and another was made."""
    store = MemoryStore()
    await records.create(NewRequest(request_id="r1", store="the id before"))
    (strange,) = await records.leases.take("a", "the id now", 60)
    assert await adopted(records, AsyncStore(store), strange) is None
    store.put(keys.plan("r1"), b"{}", Media("application/json"))
    found = await adopted(records, AsyncStore(store), strange)
    assert found is not None
    assert (found.store, found.waiting) == (StoreId(store).get(), None)
    assert await ids(records, "a", found.store) == ["r1"]
