"""How many links are under way at once: as many as keep the codecs at work, which depends on the hosts.

Used by `shard_run` and `image`. Whatever is under way is downloaded again after a kill, so with quick hosts
it is little; slow ones need many, and those that do not answer at all still more.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

GROWTH = 1.25
HUNGRY_S = 0.05
"""How long the codecs may wait for images before more links are taken at once."""


class Backlog:
    """Begins with `least` links at once, or `most`, where that is less.

    While fewer than `enough` images are downloaded and not stored yet, each download allows one link more,
    and each `HUNGRY_S` without an end a quarter more. Otherwise each download allows one fewer.
    """

    def __init__(self, *, enough: int, least: int, most: int) -> None:
        self._enough = enough
        self._least = min(least, most)
        self._most = most
        self._limit = float(self._least)
        self._downloaded = 0
        self._under_way = 0
        self._changed = asyncio.Event()

    @property
    def _is_hungry(self) -> bool:
        return self._downloaded < self._enough

    def begin(self) -> None:
        """A link is taken."""
        self._under_way += 1

    def end(self) -> None:
        """A link is done, whatever became of it."""
        self._under_way -= 1
        self._changed.set()

    @contextmanager
    def downloaded(self) -> Iterator[None]:
        """An image is downloaded; it is stored, or failed, when the block is left."""
        self._limit_to(self._limit + (1 if self._is_hungry else -1))
        self._downloaded += 1
        try:
            yield
        finally:
            self._downloaded -= 1

    async def room(self) -> None:
        """Return when another link may be taken. For one caller at a time."""
        while self._under_way >= self._limit:
            self._changed.clear()
            try:
                async with asyncio.timeout(HUNGRY_S):
                    await self._changed.wait()
            except TimeoutError:
                if self._is_hungry:
                    self._limit_to(self._limit * GROWTH)

    def _limit_to(self, links: float) -> None:
        self._limit = min(max(links, self._least), self._most)
