"""The work queue: no key twice at once, no mark lost, failures slowed down."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from imagebatch.batch import work_queue
from imagebatch.batch.work_queue import Key, Work, WorkQueue
from imagebatch.errors import StoreError
from imagebatch_testing.waiting import until

pytestmark = pytest.mark.anyio

A, B = Key("shop", "a"), Key("shop", "b")


@asynccontextmanager
async def running(queue: WorkQueue, work: Work) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(work))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_many_marks_are_one_attempt() -> None:
    seen: list[Key] = []

    async def work(key: Key) -> None:
        seen.append(key)

    queue = WorkQueue()
    for _ in range(50):
        queue.mark(A)
    queue.mark(B)
    async with running(queue, work):
        await until(lambda: len(seen) == 2)
    assert sorted(seen) == [A, B]
    assert len(queue) == 0


async def test_a_mark_during_an_attempt_is_not_lost() -> None:
    attempts, go_on = Counter[Key](), asyncio.Event()

    async def work(key: Key) -> None:
        attempts[key] += 1
        if key == A:
            await go_on.wait()

    queue = WorkQueue()
    queue.mark(A)
    async with running(queue, work):
        await until(lambda: attempts[A] == 1)
        queue.mark(A)
        queue.mark(B)
        await until(lambda: attempts[B] == 1)  # which was marked after A
        assert attempts[A] == 1
        go_on.set()
        await until(lambda: attempts[A] == 2)


async def test_work_says_when_it_wants_to_be_called_again() -> None:
    attempts = 0

    async def work(_: Key) -> float | None:
        nonlocal attempts
        attempts += 1
        return 0.0 if attempts < 3 else None

    queue = WorkQueue()
    queue.mark(A)
    async with running(queue, work):
        await until(lambda: attempts == 3)
        await until(lambda: len(queue) == 0)


@pytest.mark.parametrize("error", [StoreError("S3: down"), ZeroDivisionError()], ids=["trouble", "defect"])
async def test_a_failure_comes_back_after_a_pause_that_marks_do_not_shorten(error: Exception) -> None:
    attempts: list[float] = []

    async def work(key: Key) -> None:
        attempts.append(asyncio.get_running_loop().time())
        if key is A and len(attempts) == 1:
            raise error

    queue = WorkQueue()
    queue.mark(A)
    async with running(queue, work):
        await until(lambda: len(attempts) == 1)
        queue.mark(A)
        await until(lambda: len(attempts) == 2)
    assert attempts[1] - attempts[0] >= work_queue.FIRST_BACKOFF_S * 0.74
    assert queue.failures == 1


async def test_one_key_that_hangs_does_not_stop_the_others() -> None:
    done: list[Key] = []

    async def work(key: Key) -> None:
        if key == A:
            await asyncio.Event().wait()
        done.append(key)

    queue = WorkQueue(workers=2)
    queue.mark(A)
    queue.mark(B)
    async with running(queue, work):
        await until(lambda: done == [B])
        assert queue.stuck_s() > 0
