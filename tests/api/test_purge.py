"""What deleted batches leave on S3 goes, whatever breaks off or restarts."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from imagebatch.batch import removal
from imagebatch.batch.control import RecordedControl
from imagebatch.batch.intake import RecordedIntake
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.errors import ConflictError, StoreError
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import NewRequest, Records, Result
from imagebatch.storage import keys
from imagebatch.storage.store import JSON
from imagebatch_api.purge import Purge
from imagebatch_api.services import Services
from imagebatch_testing.memory_store import MemoryStore, held
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


class TroubledStore(MemoryStore):
    """Refuses so many deletions, and does none while `gate` is closed; counts the keys of each."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0
        self.defective = "none"
        self.pages: list[int] = []
        self.gate, self.waiting = threading.Event(), False
        self.gate.set()

    def delete(self, keys: Iterable[str]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("S3: 503 SlowDown")
        self.waiting = not self.gate.is_set()
        self.gate.wait(30)
        page = list(keys)
        if any(key.startswith(self.defective) for key in page):
            raise KeyError(self.defective)
        self.pages.append(len(page))
        super().delete(page)


@pytest.fixture
def store() -> TroubledStore:
    return TroubledStore()


@pytest.fixture
def services(records: Records, store: TroubledStore) -> Services:
    control = RecordedControl(records, lambda _: None, lambda: None)
    return Services(store, records, RecordedIntake(records, lambda _: None), control, AddressPolicy())


def names_of(request_id: str) -> list[str]:
    """Objects such as a batch has."""
    images = (f"{keys.image_prefix(request_id)}{keys.image_name(row, 1, 'jpg')}" for row in range(1, 6))
    csvs = (keys.output(request_id), keys.errors(request_id), keys.image_report(request_id))
    return [*images, *csvs, keys.plan(request_id), keys.report(request_id, 2, 0)]


async def made(records: Records, store: TroubledStore, request_id: str) -> None:
    """A finished batch with objects."""
    await records.create(NewRequest(request_id=request_id))
    request = await records.get(request_id)
    assert request is not None
    assert await records.finish(request, Ending(Phase.COMPLETE, "done"), Result(), "{}", f"msg_{request_id}")
    for key in names_of(request_id):
        store.put(key, b"x", JSON)


@asynccontextmanager
async def running(services: Services, *, is_alone: bool = False) -> AsyncIterator[None]:
    task = asyncio.create_task(Purge(services, is_alone=is_alone).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_gone(records: Records, request_id: str) -> None:
    async def is_gone() -> bool:
        return await records.get_or_deleted(request_id) is None

    await until(is_gone)


async def test_everything_goes_and_nothing_of_others(
    services: Services, records: Records, store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "PAGE", 2)
    await made(records, store, "r1")
    await made(records, store, "r10")
    async with running(services):
        assert await records.deletions.mark("r1")
        services.deleted.set()
        await until_gone(records, "r1")
    assert sorted(held(store)) == sorted(names_of("r10"))
    assert max(store.pages) <= 3
    assert await records.get("r10") is not None


async def test_what_was_deleted_before_the_start_is_removed(
    services: Services, records: Records, store: TroubledStore
) -> None:
    await made(records, store, "r1")
    assert await records.deletions.mark("r1")
    assert not await records.deletions.mark("r1")
    async with running(services):
        await until_gone(records, "r1")
    assert held(store) == []


async def test_what_could_not_be_removed_is_tried_again(
    services: Services, records: Records, store: TroubledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(removal, "PAGE", 2)
    await made(records, store, "r1")
    store.refusals = 3
    assert await records.deletions.mark("r1")
    async with running(services):
        await until_gone(records, "r1")
    assert held(store) == []


async def test_a_defect_with_one_batch_stops_no_other(
    services: Services, records: Records, store: TroubledStore
) -> None:
    for request_id in ("r1", "r2"):
        await made(records, store, request_id)
        assert await records.deletions.mark(request_id)
    store.defective = keys.image_prefix("r1")
    async with running(services):
        await until_gone(records, "r2")
    assert await records.get_or_deleted("r1") is not None
    assert await records.get("r1") is None


async def test_the_id_is_taken_until_nothing_is_left(
    services: Services, records: Records, store: TroubledStore
) -> None:
    await made(records, store, "r1")
    assert await records.deletions.mark("r1")
    with pytest.raises(ConflictError):
        await records.create(NewRequest(request_id="r1"))
    assert await records.ensure(NewRequest(request_id="r1")) is None
    async with running(services):
        await until_gone(records, "r1")
    assert await records.create(NewRequest(request_id="r1"))


async def test_only_who_has_the_claim_removes(
    services: Services, records: Records, store: TroubledStore
) -> None:
    """Another program's claim is respected while it lasts, and one that was lost ends the work."""
    await made(records, store, "r1")
    assert await records.deletions.mark("r1")
    theirs = await records.deletions.claim(60, "")
    assert theirs is not None
    assert await records.deletions.claim(60, "") is None
    in_seconds = await records.deletions.next_seconds("")
    assert in_seconds is not None
    assert 50 < in_seconds <= 60
    again = await records.deletions.extend(theirs, 0)
    assert again is not None
    assert await records.deletions.extend(theirs, 60) is None
    await records.deletions.finish(theirs)
    assert await records.get_or_deleted("r1") is not None, "it was not theirs any more"
    async with running(services):
        await until_gone(records, "r1")
    assert held(store) == []


async def test_who_lost_the_claim_removes_no_further_page(
    services: Services, records: Records, store: TroubledStore
) -> None:
    await made(records, store, "r1")
    store.gate.clear()
    assert await records.deletions.mark("r1")
    async with running(services):
        await until(lambda: store.waiting)
        await records.deletions.release_all("")
        theirs = await records.deletions.claim(600, "")
        assert theirs is not None
        store.gate.set()
        await until(lambda: len(store.pages) == 1)  # which was under way
        extended = await records.deletions.extend(theirs, 600)
        assert extended is not None
        assert [stored.key for stored in store.list(keys.image_prefix("r1"))]
        await records.deletions.extend(extended, 0)
        services.deleted.set()
        await until_gone(records, "r1")
    assert held(store) == []


async def test_who_is_alone_waits_for_no_lease_of_one_that_was_killed(
    services: Services, records: Records, store: TroubledStore
) -> None:
    await made(records, store, "r1")
    assert await records.deletions.mark("r1")
    assert await records.deletions.claim(600, "") is not None
    async with running(services, is_alone=True):
        await until_gone(records, "r1")


async def test_who_is_stopped_gives_its_claim_back(
    services: Services, records: Records, store: TroubledStore
) -> None:
    await made(records, store, "r1")
    store.gate.clear()
    assert await records.deletions.mark("r1")
    async with running(services):
        await until(lambda: store.waiting)
    store.gate.set()
    in_seconds = await records.deletions.next_seconds("")
    assert in_seconds is not None
    assert in_seconds <= removal.LAST_CALL_S < removal.LEASE_S


async def test_a_batch_that_runs_is_not_deleted(records: Records) -> None:
    await records.create(NewRequest(request_id="r1"))
    assert not await records.deletions.mark("r1")
    assert await records.deletions.claim(60, "") is None
    assert await records.deletions.next_seconds("") is None
