"""The byte budget of a shard."""

import asyncio

import pytest

from imagebatch_jobrunner.download.budget import FIRST_BYTES, ByteBudget
from imagebatch_jobrunner.download.deadline import Deadline

pytestmark = pytest.mark.anyio


async def test_bytes_in_flight_never_pass_the_budget_by_more_than_one_image() -> None:
    budget = ByteBudget(4 * FIRST_BYTES)
    size, most = 3 * FIRST_BYTES, 0

    async def image() -> None:
        nonlocal most
        async with budget.lease() as lease:
            await asyncio.sleep(0)
            await lease.reach(size)
            most = max(most, budget.used)
            await asyncio.sleep(0)

    await asyncio.gather(*(image() for _ in range(20)))
    assert budget.used == 0
    assert most <= 4 * FIRST_BYTES + size


async def test_leases_that_all_want_to_grow_do_not_block_each_other_for_ever() -> None:
    budget = ByteBudget(2 * FIRST_BYTES)
    both_in = asyncio.Barrier(2)

    async def image() -> int:
        async with budget.lease() as lease:
            await both_in.wait()
            await lease.reach(2 * FIRST_BYTES)
            return lease.held

    assert list(await asyncio.gather(image(), image())) == [2 * FIRST_BYTES] * 2


async def test_an_image_larger_than_the_budget_still_gets_through() -> None:
    budget = ByteBudget(10)
    async with budget.lease() as lease:
        await lease.reach(1000 * FIRST_BYTES)
    assert budget.used == 0


async def test_waiting_for_ourselves_takes_no_time_from_the_deadline() -> None:
    deadline = Deadline(0.05)
    async with deadline.running(), deadline.paused():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.Event().wait()
    assert 0 < deadline.left_s <= 0.05
    with pytest.raises(TimeoutError):
        async with deadline.running():
            await asyncio.Event().wait()
    assert deadline.left_s == 0
