"""What takes long, beside the reconciles: reading a source, merging. No worker of the queue waits for it.

A reconcile starts an errand and looks at it when it comes by again; the errand marks its batch's key when it
gets going and when it is over. How many of a kind go at once is a `FairRoom`'s to say, fair by namespace.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from imagebatch.fair_room import FairRoom
from imagebatch_operator.work_queue import Key

SOURCES_AT_ONCE = 16
"""Downloads mostly wait; each holds a thread and at most two parts of an upload."""

SNAPSHOTS_AT_ONCE = 4
MERGES_AT_ONCE = 2
MOMENT_S = 0.2

R = TypeVar("R")

Mark = Callable[[Key], None]


@dataclass(slots=True)
class Errand(Generic[R]):
    """One piece of work for a batch."""

    task: "asyncio.Task[R]" = field(init=False)
    has_room: bool = False
    was_seen_queued: bool = False

    def is_queued(self) -> bool:
        """Whether it waits for room; who asks hears of it when that changes."""
        self.was_seen_queued = not self.has_room
        return self.was_seen_queued

    async def start_up(self) -> None:
        """Give it a moment: what is small is over before anybody has to come by again."""
        await asyncio.wait([self.task], timeout=MOMENT_S)

    @property
    def is_over(self) -> bool:
        return self.task.done()

    def result(self) -> R:
        """What it came to, once it is over; raises what it raised."""
        return self.task.result()

    def cancel(self) -> None:
        self.task.cancel()


async def in_thread(call: Callable[[], R], stop: Callable[[], None] = lambda: None) -> R:
    """Run a blocking call in a thread. When this is cancelled, `stop` asks the call to end, and it is waited
    for: whoever cleans up after it must not run beside it.
    """
    running = asyncio.create_task(asyncio.to_thread(call))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([running])
        raise


class Errands:
    """Starts errands, each in the room of its kind."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self.sources = FairRoom(SOURCES_AT_ONCE)
        self.snapshots = FairRoom(SNAPSHOTS_AT_ONCE)
        self.merges = FairRoom(MERGES_AT_ONCE)

    def start(self, key: Key, room: FairRoom, work: Callable[[], Awaitable[R]]) -> Errand[R]:
        errand: Errand[R] = Errand()

        async def run() -> R:
            async with room.of(key.namespace):
                errand.has_room = True
                if errand.was_seen_queued:
                    self._mark(key)
                return await work()

        errand.task = asyncio.create_task(run())
        errand.task.add_done_callback(lambda task: self._over(key, task))
        return errand

    def _over(self, key: Key, task: "asyncio.Task[R]") -> None:
        if not task.cancelled():
            task.exception()  # seen: the reconcile raises it, unless the batch is gone by now
            self._mark(key)
