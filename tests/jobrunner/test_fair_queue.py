"""In which order a shard's links are taken up."""

import asyncio
from collections.abc import Sequence

import pytest

from imagebatch_jobrunner.fair_queue import FairQueue, Permit
from imagebatch_jobrunner.shard_input import Slot

pytestmark = pytest.mark.anyio


def queue(links: Sequence[str], per_host: int = 2) -> FairQueue:
    """Links such as `a1`, of host `a`."""
    slots = [Slot(row, 1, link) for row, link in enumerate(links, start=1)]
    return FairQueue(slots, lambda slot: slot.link[0], lambda _: per_host)


async def take(source: FairQueue) -> Permit:
    permit = await asyncio.wait_for(source.next(), 20)
    assert permit is not None
    return permit


async def test_links_come_in_order_while_their_hosts_have_room() -> None:
    source = queue(["a1", "b1", "a2", "c1", "b2"])
    assert [(await take(source)).slot.link for _ in range(5)] == ["a1", "b1", "a2", "c1", "b2"]
    assert await source.next() is None


async def test_a_host_with_many_links_does_not_keep_the_others_waiting() -> None:
    source = queue([*(f"a{number}" for number in range(1000)), "b0", "b1", "b2"])
    assert [(await take(source)).slot.link for _ in range(4)] == ["a0", "a1", "b0", "b1"]


async def test_the_next_link_of_a_full_host_comes_when_one_is_downloaded() -> None:
    source = queue(["a1", "a2", "a3", "a4"])
    first, second = await take(source), await take(source)
    waiting = asyncio.create_task(source.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    second.release()
    second.release()
    permit = await asyncio.wait_for(waiting, 20)
    assert permit is not None
    assert permit.slot.link == "a3"
    first.release()
    assert (await take(source)).slot.link == "a4"
    assert await source.next() is None


async def test_hosts_that_have_room_again_come_in_the_order_of_the_rows() -> None:
    source = queue(["a1", "b1", "b2", "a2"], per_host=1)
    a, b = await take(source), await take(source)
    a.release()
    b.release()
    assert [(await take(source)).slot.link for _ in range(2)] == ["b2", "a2"]


async def test_every_link_comes_once_whatever_the_order_of_downloads() -> None:
    links = [f"{host}{number}" for number in range(30) for host in "abcde"]
    source, permits, seen = queue(links, per_host=3), list[Permit](), list[str]()
    while len(seen) < len(links):
        if len(permits) == 3:  # all of them may be of one host
            permits.pop(len(seen) % len(permits)).release()
        permit = await take(source)
        seen.append(permit.slot.link)
        permits.append(permit)
    assert sorted(seen) == sorted(links)
    assert await source.next() is None


async def test_a_host_whose_limit_grows_gets_more_at_its_next_download() -> None:
    """So that a host that does not answer holds little of the window, and another one soon has its share."""
    limit = 1
    source = FairQueue(
        [Slot(row, 1, f"a{row}") for row in range(6)], lambda slot: slot.link[0], lambda _: limit
    )
    first = await take(source)
    waiting = asyncio.create_task(source.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    limit = 3
    first.release()
    assert (await asyncio.wait_for(waiting, 20)) is not None
    assert [(await take(source)).slot.link for _ in range(2)] == ["a2", "a3"]
    waiting = asyncio.create_task(source.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_nothing_to_do_is_told_at_once() -> None:
    assert await queue([]).next() is None
