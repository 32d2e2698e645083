"""Work that takes long, beside the steps of the driver: reading a source, merging. No worker waits for it.

A step starts a task and looks at it when it comes by again; the task marks its batch's key when it starts
after a wait and when it is over. A `FairRoom` decides how many of a kind run at once, fair by namespace.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from imagebatch.batch.fair_room import FairRoom
from imagebatch.batch.work_queue import Key

DOWNLOADS_AT_ONCE = 16
"""Downloads mostly wait; each holds a thread and at most two parts of an upload."""

READS_AT_ONCE = 4
"""Sources that need no download are read at the speed of the CPU."""

MERGES_AT_ONCE = 2
MOMENT_S = 0.2
"""A task that takes no longer shows no phase of its own (docs/decisions/0014)."""

R = TypeVar("R")

Mark = Callable[[Key], None]


@dataclass(slots=True)
class BackgroundTask(Generic[R]):
    """One piece of work for a batch."""

    task: "asyncio.Task[R]" = field(init=False)
    has_room: bool = False
    was_seen_queued: bool = False

    def is_queued(self) -> bool:
        """Whether it waits for room. After a True the batch is marked as soon as there is room."""
        self.was_seen_queued = not self.has_room
        return self.was_seen_queued

    async def wait_a_moment(self) -> None:
        """Wait up to `MOMENT_S`: a small task is over by then, and the step need not look again."""
        await asyncio.wait([self.task], timeout=MOMENT_S)

    @property
    def is_over(self) -> bool:
        return self.task.done()

    def result(self) -> R:
        """What the task returned, once it is over; raises what the task raised."""
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


class BackgroundTasks:
    """Starts tasks, each in the room of its kind."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self.downloads = FairRoom(DOWNLOADS_AT_ONCE)
        self.reads = FairRoom(READS_AT_ONCE)
        self.merges = FairRoom(MERGES_AT_ONCE)

    def start(self, key: Key, room: FairRoom, work: Callable[[], Awaitable[R]]) -> BackgroundTask[R]:
        started: BackgroundTask[R] = BackgroundTask()

        async def run() -> R:
            async with room.of(key.namespace):
                started.has_room = True
                if started.was_seen_queued:
                    self._mark(key)
                return await work()

        started.task = asyncio.create_task(run())
        started.task.add_done_callback(lambda task: self._end(key, task))
        return started

    def _end(self, key: Key, task: "asyncio.Task[R]") -> None:
        if not task.cancelled():
            task.exception()  # read, or asyncio would log it; the batch's next step raises it
            self._mark(key)
