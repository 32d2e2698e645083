"""Room for a number of things at once, fair by whose they are."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairRoom:
    """`places` for everybody, and as many again for those who have none yet.

    So a small batch starts while a big one has all places, and does not wait for one of its long shards.
    Freed places go to whoever has the fewest; among equals, to who came first.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """A place for `owner`, until the block ends."""
        await self._take(owner)
        try:
            yield
        finally:
            self._free(owner)

    async def _take(self, owner: str) -> None:
        ticket = (owner, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._admit()
        try:
            await ticket[1]
        except asyncio.CancelledError:
            if not ticket[1].cancelled():
                self._free(owner)  # it was admitted just now
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            raise

    def _free(self, owner: str) -> None:
        self._taken -= Counter([owner])  # also forgets an owner who has none left
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            ticket = min(self._waiting, key=lambda waiting: self._taken[waiting[0]])
            owner, admitted = ticket
            places = self._places if self._taken[owner] else 2 * self._places
            if self._taken.total() >= places:
                return
            self._waiting.remove(ticket)
            if not admitted.cancelled():
                self._taken[owner] += 1
                admitted.set_result(None)
