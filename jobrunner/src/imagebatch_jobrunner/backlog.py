"""How many links may be under way: as many as slow hosts need, but no more than keep the codecs at work.

Used by `shard_run` and `image`. Whatever is under way is downloaded again after a kill.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Backlog:
    """Has room while fewer than `enough` images are downloaded and not stored yet, or fewer than `most` links
    are under way at all.
    """

    def __init__(self, *, enough: int, most: int) -> None:
        self._enough = enough
        self._most = most
        self._downloaded = 0
        self._under_way = 0
        self._changed = asyncio.Event()

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
        self._downloaded += 1
        try:
            yield
        finally:
            self._downloaded -= 1
            self._changed.set()

    async def room(self) -> None:
        """Return when there is room. For one caller at a time."""
        while self._downloaded >= self._enough and self._under_way >= self._most:
            self._changed.clear()
            await self._changed.wait()
