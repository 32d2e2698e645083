"""S3 is asked whether it stores, but not often: a batch that is stuck for days costs few puts."""

import pytest

from imagebatch.batch import store_probe
from imagebatch.batch.store_probe import StoreProbe
from imagebatch.errors import ThrottledError
from imagebatch.outcome import Counts
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import Media, Stored
from imagebatch_testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Busy(MemoryStore):
    refuses = True

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        if self.refuses:
            raise ThrottledError("S3: 503 SlowDown")
        return super().put(key, data, media, only_if_absent=only_if_absent)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(store_probe, "time", clock)
    return clock


def probe() -> StoreProbe:
    return StoreProbe("probe", _asked_s=0.0)


async def test_a_batch_that_stands_still_for_an_hour_costs_some_sixty_puts(clock: Clock) -> None:
    asks, plain = probe(), MemoryStore()
    store = AsyncStore(plain)
    for _ in range(3600):
        clock.now_s += 1
        assert await asks.waiting(Counts(3, 1), store) is None
    assert 60 <= len(plain.writes) <= 64


async def test_what_moves_costs_none(clock: Clock) -> None:
    asks, plain = probe(), MemoryStore()
    for done in range(100):
        clock.now_s += 4
        assert await asks.waiting(Counts(1000, done), AsyncStore(plain)) is None
    assert plain.writes == []


async def test_a_refusal_is_told_until_it_is_over(clock: Clock) -> None:
    asks, plain = probe(), Busy()
    store = AsyncStore(plain)
    clock.now_s = 6
    await asks.waiting(Counts(3, 1), store)  # the counts moved
    clock.now_s = 12
    told = await asks.waiting(Counts(3, 1), store)
    assert told is not None
    assert (told.reason, told.message) == ("StoreThrottled", "S3: 503 SlowDown")
    clock.now_s = 13
    assert await asks.waiting(Counts(3, 1), store) == told
    plain.refuses = False
    clock.now_s = 18
    assert await asks.waiting(Counts(3, 1), store) is None
