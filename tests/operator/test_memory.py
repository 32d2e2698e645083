"""What the operator keeps in memory does not grow with the batches that it has ended."""

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.storage.store import ObjectStore
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.operated import INLINE, ROWS
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import JobController, Objects, OperatorProcess, leave_report, new_name

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(240, func_only=True)]

WARM_UP, BATCHES, AT_ONCE = 30, 90, 6
MOST_KIB_A_BATCH = 48.0


@pytest.fixture
async def operated(
    plane: ControlPlane, objects: Objects, operator_environment: dict[str, str], tmp_path: Path
) -> AsyncIterator[tuple[Objects, psutil.Process]]:
    """A namespace of its own with an operator of its own."""
    own = await objects.in_new_namespace("soaked")
    operator = OperatorProcess(plane, operator_environment, tmp_path / "operator.log", own.namespace)
    operator.start()
    try:
        await until(lambda: "health and metrics are served" in operator.said())
        yield own, psutil.Process(operator.pid)
    finally:
        operator.stop()


async def test_it_does_not_grow_with_the_batches_that_have_ended(
    operated: tuple[Objects, psutil.Process], bucket: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    objects, process = operated
    room, points = asyncio.Semaphore(AT_ONCE), list[tuple[int, int, int]]()
    ended = 0

    async def one() -> None:
        nonlocal ended
        async with room:
            await _ended(objects, bucket)
        ended += 1
        if ended > WARM_UP:
            points.append((ended, process.memory_info().rss, process.num_fds()))

    async with asyncio.TaskGroup() as group:
        for _ in range(WARM_UP + BATCHES):
            group.create_task(one())
    numbers, sizes, files = zip(*points, strict=True)
    slope = statistics.linear_regression(numbers, sizes).slope / 1024
    with capsys.disabled():
        size = f"{slope:+.1f} KiB a batch, {sizes[-1] >> 20} MiB after {ended} batches"
        print(f"\nthe operator's memory: {size}")  # noqa: T201 - what it is for
    assert slope < MOST_KIB_A_BATCH
    assert process.num_fds() <= files[0] + 20  # its connections were open by then


async def _ended(objects: Objects, bucket: ObjectStore) -> None:
    """A batch from its object to the object's end, which is how long the operator has to do with it."""
    made: dict[str, Any] = await objects.create(new_name("b"), INLINE)
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    job = JobController(objects, await objects.until_job(uid))
    for index in range(ROWS):
        await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, index))
    with suppress(AssertionError):  # the operator has seen the reports, and deleted it
        await job.complete(*range(ROWS))
    await objects.until_status(name, lambda status: status.get("phase") == "Complete")
    await objects.delete(name)

    async def is_gone() -> bool:
        return await objects.is_gone(name)

    await until(is_gone)
