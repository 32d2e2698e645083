"""Whether S3 still stores, asked while a batch's shards tell nothing new: it may be S3 that they wait for.

Used by the driver. What shards say themselves is in their progress, which they can't write then.
"""

import time
from dataclasses import dataclass, field

from imagebatch.batch.lifecycle import Waiting
from imagebatch.errors import StoreError
from imagebatch.outcome import Counts
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import Media

STALLED_S = 5.0
"""How long the counts of shards that run stand still before S3 is asked: a slow shop costs this put, too."""

MOST_S = 60.0
"""It is asked again after pauses that double up to this, while it stores."""


@dataclass(slots=True)
class StoreProbe:
    """`key` is what it puts."""

    key: str
    _counts: Counts = field(default_factory=Counts)
    _asked_s: float = field(default_factory=time.monotonic)
    _pause_s: float = STALLED_S
    _trouble: Waiting | None = None

    async def waiting(self, counts: Counts, store: AsyncStore) -> Waiting | None:
        """Why S3 stores nothing, where it does not."""
        now = time.monotonic()
        if counts != self._counts:
            self._counts, self._asked_s, self._trouble, self._pause_s = counts, now, None, STALLED_S
        elif now - self._asked_s >= self._pause_s:
            self._trouble = await self._ask(store)
            self._asked_s = time.monotonic()
            self._pause_s = STALLED_S if self._trouble else min(2 * self._pause_s, MOST_S)
        return self._trouble

    async def _ask(self, store: AsyncStore) -> Waiting | None:
        try:
            await store.run(lambda its: its.put(self.key, b"ImageBatch was here", Media("text/plain")))
        except StoreError as error:
            return Waiting(error.reason, str(error))
        return None
