"""What goes on beside the driver's steps: slow sources hold up nobody."""

import asyncio
import threading

import pytest

from imagebatch.batch.background import DOWNLOADS_AT_ONCE, BackgroundTasks, in_thread
from imagebatch.batch.work_queue import Key
from imagebatch_testing.waiting import until

pytestmark = pytest.mark.anyio


def key(number: int, namespace: str = "shop") -> Key:
    return Key(namespace, f"batch-{number}")


async def test_a_task_marks_its_batch_when_it_is_over() -> None:
    marked: list[Key] = []

    async def work() -> int:
        return 7

    tasks = BackgroundTasks(marked.append)
    started = tasks.start(key(1), tasks.merges, work)
    await started.wait_a_moment()
    assert (started.is_over, started.result()) == (True, 7)
    await until(lambda: marked == [key(1)])


async def test_what_a_task_raises_is_raised_to_who_looks() -> None:
    async def work() -> int:
        raise ZeroDivisionError

    tasks = BackgroundTasks(lambda _: None)
    started = tasks.start(key(1), tasks.merges, work)
    await until(lambda: started.is_over)
    with pytest.raises(ZeroDivisionError):
        started.result()


async def test_sources_that_drip_stop_no_other_namespace_no_inline_source_and_no_merge() -> None:
    marked: list[Key] = []
    may_end = asyncio.Event()

    async def drip() -> None:
        await may_end.wait()

    async def quick() -> str:
        return "done"

    tasks = BackgroundTasks(marked.append)
    slow = [tasks.start(key(number), tasks.downloads, drip) for number in range(DOWNLOADS_AT_ONCE + 1)]
    others = [
        tasks.start(key(1, "other"), tasks.downloads, quick),
        tasks.start(key(98), tasks.reads, quick),
        tasks.start(key(99), tasks.merges, quick),
    ]
    await until(lambda: all(started.is_over for started in others))
    assert [started.is_queued() for started in slow] == [False] * DOWNLOADS_AT_ONCE + [True]
    marked.clear()
    slow[0].cancel()
    await until(lambda: marked == [key(DOWNLOADS_AT_ONCE)])  # it has room now, and says so
    assert not slow[-1].is_queued()
    may_end.set()
    await until(lambda: all(started.is_over for started in slow))


async def test_a_thread_is_waited_for_when_its_task_is_cancelled() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        has_begun.set()
        may_end.wait(20)

    tasks = BackgroundTasks(lambda _: None)
    started = tasks.start(key(1), tasks.merges, lambda: in_thread(work))
    await until(has_begun.is_set)
    started.cancel()
    await started.wait_a_moment()
    assert not started.is_over
    may_end.set()
    await until(lambda: started.is_over)
    assert started.task.cancelled()
