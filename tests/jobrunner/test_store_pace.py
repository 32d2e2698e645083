"""What becomes of a put that S3 refuses for now: it alone is tried again, by and by more slowly."""

import asyncio
import itertools

import pytest

from imagebatch.errors import AccessDeniedError, StoreError, ThrottledError
from imagebatch.storage.store import Media, Stored
from imagebatch_jobrunner import store_pace, store_threads
from imagebatch_jobrunner.store_pace import StorePace, pauses
from imagebatch_jobrunner.store_threads import StoreThreads
from imagebatch_testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

JPEG = Media.image("image/jpeg")


class Busy(MemoryStore):
    """A store that refuses so many puts of each key, and counts all."""

    def __init__(self, refusals: int, error: StoreError) -> None:
        super().__init__()
        self.tries: dict[str, int] = {}
        self._refusals = refusals
        self._error = error

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        self.tries[key] = self.tries.get(key, 0) + 1
        if self.tries[key] <= self._refusals:
            raise self._error
        return super().put(key, data, media, only_if_absent=only_if_absent)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_threads, "pauses", lambda: itertools.repeat(0.001))


async def test_a_refused_put_is_tried_until_it_is_taken() -> None:
    store = Busy(5, ThrottledError("slow down"))
    async with StoreThreads(store, threads=4) as threads:
        await asyncio.gather(*(threads.put_patiently(f"images/{n}", b"x", JPEG) for n in range(20)))
        assert set(store.tries.values()) == {6}
        assert threads.pace.waiting is not None
        assert threads.pace.waiting.reason == "StoreThrottled"


async def test_what_no_waiting_cures_is_tried_once() -> None:
    store = Busy(5, AccessDeniedError("no"))
    async with StoreThreads(store, threads=4) as threads:
        with pytest.raises(AccessDeniedError):
            await threads.put_patiently("images/1", b"x", JPEG)
    assert store.tries == {"images/1": 1}


async def test_patience_ends() -> None:
    async with StoreThreads(Busy(1, StoreError("down")), threads=4, patience_s=0.0) as threads:
        with pytest.raises(StoreError, match="down"):
            await threads.put_patiently("images/1", b"x", JPEG)


async def refuse(pace: StorePace) -> None:
    with pytest.raises(ThrottledError):
        async with pace.turn():
            raise ThrottledError("slow down")


async def test_each_refusal_halves_how_many_run_at_once_and_successes_bring_them_back() -> None:
    pace = StorePace(8)
    for _ in range(4):
        await refuse(pace)
    assert await most_at_once(pace, 2) == 1
    for _ in range(200):
        async with pace.turn():
            pass
    assert await most_at_once(pace, 20) == 8


async def most_at_once(pace: StorePace, tasks: int) -> int:
    running, most = 0, 0

    async def one() -> None:
        nonlocal running, most
        async with pace.turn():
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(one() for _ in range(tasks)))
    return most


async def test_nothing_waits_when_nothing_was_refused() -> None:
    pace = StorePace(2)
    async with pace.turn():
        assert pace.waiting is None


def test_pauses_grow_to_half_a_minute_and_no_two_are_alike() -> None:
    found = list(itertools.islice(pauses(), 40))
    assert len(set(found)) == 40
    assert max(found) <= 1.5 * store_pace.LONGEST_PAUSE_S
    assert sum(found[:3]) < 12
