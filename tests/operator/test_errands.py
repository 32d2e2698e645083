"""What goes on beside the reconciles: slow sources hold up nobody."""

import asyncio
import threading

import pytest

from imagebatch_operator.errands import SOURCES_AT_ONCE, Errands, in_thread
from imagebatch_operator.work_queue import Key
from imagebatch_testing.waiting import until

pytestmark = pytest.mark.anyio


def key(number: int, namespace: str = "shop") -> Key:
    return Key(namespace, f"batch-{number}")


async def test_an_errand_marks_its_batch_when_it_is_over() -> None:
    marked: list[Key] = []

    async def work() -> int:
        return 7

    errands = Errands(marked.append)
    errand = errands.start(key(1), errands.merges, work)
    await errand.start_up()
    assert (errand.is_over, errand.result()) == (True, 7)
    await until(lambda: marked == [key(1)])


async def test_what_an_errand_raises_is_raised_to_who_looks() -> None:
    async def work() -> int:
        raise ZeroDivisionError

    errands = Errands(lambda _: None)
    errand = errands.start(key(1), errands.merges, work)
    await until(lambda: errand.is_over)
    with pytest.raises(ZeroDivisionError):
        errand.result()


async def test_sources_that_drip_stop_no_other_namespace_no_inline_source_and_no_merge() -> None:
    marked: list[Key] = []
    may_end = asyncio.Event()

    async def drip() -> None:
        await may_end.wait()

    async def quick() -> str:
        return "done"

    errands = Errands(marked.append)
    slow = [errands.start(key(number), errands.sources, drip) for number in range(SOURCES_AT_ONCE + 1)]
    others = [
        errands.start(key(1, "other"), errands.sources, quick),
        errands.start(key(98), errands.snapshots, quick),
        errands.start(key(99), errands.merges, quick),
    ]
    await until(lambda: all(errand.is_over for errand in others))
    assert [errand.is_queued() for errand in slow] == [False] * SOURCES_AT_ONCE + [True]
    marked.clear()
    slow[0].cancel()
    await until(lambda: marked == [key(SOURCES_AT_ONCE)])  # it has room now, and says so
    assert not slow[-1].is_queued()
    may_end.set()
    await until(lambda: all(errand.is_over for errand in slow))


async def test_a_thread_is_waited_for_when_its_errand_is_cancelled() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        has_begun.set()
        may_end.wait(20)

    errands = Errands(lambda _: None)
    errand = errands.start(key(1), errands.merges, lambda: in_thread(work))
    await until(has_begun.is_set)
    errand.cancel()
    await errand.start_up()
    assert not errand.is_over
    may_end.set()
    await until(lambda: errand.is_over)
    assert errand.task.cancelled()
