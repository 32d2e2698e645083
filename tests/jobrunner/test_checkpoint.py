"""What a shard has stored, written down as it goes: who comes after it, and merge, go by that."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from imagebatch.batch import checkpoint
from imagebatch.batch.shard import ShardId
from imagebatch.errors import StoreError
from imagebatch.outcome import ImageOutcome
from imagebatch.storage import keys
from imagebatch.storage.store import Media, Stored
from imagebatch_jobrunner.backlog import HUNGRY_S, Backlog
from imagebatch_jobrunner.checkpoint import CheckpointWriter
from imagebatch_jobrunner.store_threads import StoreThreads
from imagebatch_testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

SHARD = ShardId("r1", 1, 0)


def stored(row: int) -> ImageOutcome:
    return ImageOutcome(row=row, slot=1, name=keys.image_name(row, 1, "jpg"), bytes_in=9, bytes_out=4)


@pytest.fixture
async def threads(store: MemoryStore) -> AsyncIterator[StoreThreads]:
    async with StoreThreads(store, threads=2) as blocking:
        yield blocking


def rows_of(store: MemoryStore, shard: ShardId = SHARD) -> list[int]:
    return sorted(row for row, _ in checkpoint.read(store, shard).images)


async def test_parts_are_written_as_images_are_stored_and_the_rest_at_a_stop(
    store: MemoryStore, threads: StoreThreads
) -> None:
    async def store_until_stopped() -> None:
        async with CheckpointWriter(threads, SHARD, images=500, number=0) as writer:
            for row in range(1, 14):
                await writer.add(stored(row))
            assert rows_of(store) == list(range(1, 13))
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await store_until_stopped()
    assert rows_of(store) == list(range(1, 14))
    assert checkpoint.read(store, SHARD).parts == 4


async def test_at_a_good_end_no_rest_is_written_for_the_fragment_has_it(
    store: MemoryStore, threads: StoreThreads
) -> None:
    async with CheckpointWriter(threads, SHARD, images=500, number=0) as writer:
        await writer.add(stored(1))
    assert rows_of(store) == []


async def test_two_runs_at_once_write_each_a_part_of_its_own(
    store: MemoryStore, threads: StoreThreads
) -> None:
    async with (
        CheckpointWriter(threads, SHARD, images=1, number=0) as one,
        CheckpointWriter(threads, SHARD, images=1, number=0) as other,
    ):
        for row in range(1, 13):
            await one.add(stored(row))
        for row in range(5, 17):
            await other.add(stored(row))
    assert rows_of(store) == list(range(1, 17))


class FailingOnce(MemoryStore):
    """A store of which one put fails."""

    failures = 1

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        if self.failures:
            self.failures -= 1
            raise StoreError("no")
        return super().put(key, data, media, only_if_absent=only_if_absent)


async def test_a_part_that_is_not_written_goes_with_the_next() -> None:
    store = FailingOnce()
    async with (
        StoreThreads(store, threads=1) as threads,
        CheckpointWriter(threads, SHARD, images=1, number=0) as writer,
    ):
        for row in range(1, 14):
            await writer.add(stored(row))
    assert rows_of(store) == list(range(1, 14))


def test_a_later_attempt_takes_what_a_cancelled_one_stored(store: MemoryStore) -> None:
    checkpoint.write(store, SHARD, 0, [stored(1)])
    checkpoint.write(store, ShardId("r1", 2, 0), 0, [stored(2)])
    assert sorted(checkpoint.of_earlier_attempts(store, ShardId("r1", 3, 0))) == [(1, 1), (2, 1)]
    assert checkpoint.of_earlier_attempts(store, SHARD) == {}


def test_a_part_is_a_small_share_of_a_shard() -> None:
    assert [checkpoint.images_of_part(images) for images in (1, 500, 501, 100_000)] == [4, 4, 5, 800]


async def test_a_backlog_grows_while_the_codecs_want_for_images() -> None:
    backlog = Backlog(enough=1, least=2, most=9)
    for _ in range(5):  # hosts that do not answer: nothing is ever downloaded
        await asyncio.wait_for(backlog.room(), 1)
        backlog.begin()


async def test_a_backlog_has_no_room_while_they_have_enough() -> None:
    backlog = Backlog(enough=1, least=2, most=9)
    backlog.begin()
    backlog.begin()
    with backlog.downloaded(), backlog.downloaded():
        waiting = asyncio.create_task(backlog.room())
        done, _ = await asyncio.wait([waiting], timeout=4 * HUNGRY_S)
        assert not done
    backlog.end()
    await asyncio.wait_for(waiting, 1)


async def test_a_backlog_never_has_more_than_its_most() -> None:
    backlog = Backlog(enough=9, least=2, most=3)
    for _ in range(20):  # each allows one more
        with backlog.downloaded():
            pass
    for _ in range(3):
        await asyncio.wait_for(backlog.room(), 1)
        backlog.begin()
    waiting = asyncio.create_task(backlog.room())
    done, _ = await asyncio.wait([waiting], timeout=4 * HUNGRY_S)
    assert not done
    backlog.end()
    await asyncio.wait_for(waiting, 1)
