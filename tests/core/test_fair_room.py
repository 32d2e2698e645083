"""Room for shards: the small batch does not wait for the big one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from imagebatch.batch.fair_room import FairRoom

pytestmark = pytest.mark.anyio


class Crowd:
    """Those who want places, and who has one."""

    def __init__(self, places: int) -> None:
        self._room = FairRoom(places)
        self._tasks: list[tuple[str, asyncio.Task[None]]] = []
        self.inside: list[str] = []

    async def come(self, *owners: str) -> None:
        for owner in owners:
            self._tasks.append((owner, asyncio.create_task(self._stay(owner))))
        await self._settle()

    async def leave(self, owner: str) -> None:
        """Let the first of an owner's go."""
        found = next(entry for entry in self._tasks if entry[0] == owner)
        self._tasks.remove(found)
        found[1].cancel()
        await self._settle()

    async def _stay(self, owner: str) -> None:
        async with self._room.of(owner):
            self.inside.append(owner)
            try:
                await asyncio.Event().wait()
            finally:
                self.inside.remove(owner)

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def close(self) -> None:
        for _, task in self._tasks:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks), return_exceptions=True)


@asynccontextmanager
async def crowd(places: int) -> AsyncIterator[Crowd]:
    made = Crowd(places)
    try:
        yield made
    finally:
        await made.close()


async def test_one_owner_has_all_places_and_no_more() -> None:
    async with crowd(2) as room:
        await room.come("big", "big", "big", "big")
        assert room.inside == ["big", "big"]
        await room.leave("big")
        assert room.inside == ["big", "big"]


async def test_whoever_has_none_does_not_wait_for_one_who_has_all() -> None:
    async with crowd(2) as room:
        await room.come("big", "big", "big")
        await room.come("small", "small")
        assert room.inside == ["big", "big", "small"]


async def test_there_is_a_bound_for_all_and_free_places_go_to_who_has_the_fewest() -> None:
    async with crowd(2) as room:
        await room.come("big", "big", "big", "a", "b", "c", "d")
        assert sorted(room.inside) == ["a", "b", "big", "big"]
        await room.leave("big")
        assert sorted(room.inside) == ["a", "b", "big", "c"]


async def test_who_goes_away_while_waiting_takes_no_place() -> None:
    async with crowd(1) as room:
        await room.come("big", "big", "a", "b")
        assert sorted(room.inside) == ["a", "big"]
        await room.leave("b")
        await room.leave("a")
        assert room.inside == ["big"]
        await room.come("c")
        assert sorted(room.inside) == ["big", "c"]
