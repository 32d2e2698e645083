"""An API server that misbehaves: what it says comes late or not at all, it refuses, or is silent for a while.

Every batch ends as it should once the server does its part, and no Job is made twice.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.storage.s3 import S3Store
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.findings import Finding
from imagebatch_testing.http_proxy import HttpProxy, kubernetes_error, proxied, watch_error
from imagebatch_testing.operated import INLINE, ROWS
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import JobController, Objects, OperatorProcess, leave_report, new_name

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(240, func_only=True)]

Trouble = Callable[[HttpProxy], Coroutine[None, None, None]]
"""Goes on until it is cancelled, or is over by itself."""

BATCHES = 3


@pytest.fixture
async def api(plane: ControlPlane) -> AsyncIterator[HttpProxy]:
    async with proxied(plane.url, plane.trust) as proxy:
        yield proxy


@pytest.fixture
async def own_objects(
    plane: ControlPlane,
    objects: Objects,
    operator_environment: dict[str, str],
    api: HttpProxy,
    tmp_path: Path,
) -> AsyncIterator[Objects]:
    """Of a namespace whose operator asks the API server through the proxy."""
    own = await objects.in_new_namespace("troubled")
    env = {**operator_environment, "KUBECONFIG": str(plane.kubeconfig_of(api.url, tmp_path))}
    operator = OperatorProcess(plane, env, tmp_path / "operator.log", own.namespace)
    operator.start()
    try:
        await until(lambda: "health and metrics are served" in operator.said())
        await until(lambda: len(api.watches) == 3)
        yield own
    finally:
        await asyncio.to_thread(operator.stop)  # through the proxy, which this loop drives


async def watches_end(api: HttpProxy) -> None:
    while True:
        await asyncio.sleep(0.3)
        api.end_watches()


async def events_come_late(api: HttpProxy) -> None:
    """What a watch says is two seconds old: the operator is told of the past."""

    async def late(_: bytes) -> bool:
        await asyncio.sleep(2)
        return True

    api.passes = late


async def events_are_lost(api: HttpProxy) -> None:
    """Nothing of what happens in four seconds is told; who watches again is told 410, and must list."""

    async def lost(_: bytes) -> bool:
        return False

    api.passes = lost
    await asyncio.sleep(4)
    api.passes = _told
    expired = watch_error(410, "Expired")
    api.refuses = lambda _, path: expired if "watch=true" in path and "resourceVersion=" in path else None
    api.end_watches()
    await until(lambda: bool(api.refused))
    api.refuses = lambda _method, _path: None


async def _told(_: bytes) -> bool:
    return True


def a_third_is(status: int, reason: str, methods: str = "GET POST PATCH DELETE") -> Trouble:
    async def refuse(api: HttpProxy) -> None:
        dice, refusal = Random(status), kubernetes_error(status, reason)

        def refuses(method: str, path: str) -> bytes | None:
            is_meant = method in methods.split() and "watch" not in path
            return refusal if is_meant and dice.random() < 1 / 3 else None

        api.refuses = refuses

    refuse.__name__ = reason
    return refuse


async def silence(api: HttpProxy) -> None:
    """Longer than any call of the operator's waits."""
    await until(lambda: any("/jobs" in path and path.startswith("POST") for path in api.requests))
    api.is_silent = True
    await asyncio.sleep(25)
    api.is_silent = False


TOLD = {
    "watches_end": "ends all watches three times a second",
    "events_come_late": "tells two seconds late what happens",
    "events_are_lost": "does not tell for four seconds, then 410 for what was watched before",
    "Conflict": "409 for a third of the changes",
    "TooManyRequests": "429 for a third of the requests",
    "InternalError": "500 for a third of the requests",
    "ServiceUnavailable": "503 for a third of the requests",
    "silence": "does not answer for 25 s",
}


@pytest.mark.parametrize(
    "trouble",
    [
        watches_end,
        events_come_late,
        events_are_lost,
        a_third_is(409, "Conflict", "PATCH DELETE"),
        a_third_is(429, "TooManyRequests"),
        a_third_is(500, "InternalError"),
        a_third_is(503, "ServiceUnavailable"),
        silence,
    ],
    ids=lambda trouble: trouble.__name__,
)
async def test_every_batch_ends_as_it_should(
    api: HttpProxy, own_objects: Objects, bucket: S3Store, trouble: Trouble, finding: Finding
) -> None:
    troubling = asyncio.create_task(trouble(api))
    made = [await own_objects.create(new_name("b"), INLINE) for _ in range(BATCHES)]
    jobs: dict[str, set[str]] = {batch["metadata"]["uid"]: set() for batch in made}
    playing = asyncio.create_task(_play(own_objects, bucket, jobs))
    try:
        async with asyncio.timeout(150):
            done = [await _until_over(own_objects, batch["metadata"]["name"]) for batch in made]
    finally:
        for task in (troubling, playing):
            task.cancel()
        results = await asyncio.gather(troubling, playing, return_exceptions=True)
    assert not [one for one in results if isinstance(one, Exception)]
    assert [len(names) for names in jobs.values()] == [1] * BATCHES
    times = len(api.refused) or 1
    links = BATCHES * ROWS
    told = f"the API server: {TOLD[trouble.__name__]}"
    finding(told, times=times, links=links, lost=links - sum(done), again=0)


async def _until_over(objects: Objects, name: str) -> int:
    """How many images the batch has, once it is at its end."""
    status: dict[str, object] = {}
    while status.get("phase") != "Complete":
        status = await objects.status(name)
        assert status.get("phase") not in {"Failed", "Cancelled"}, status
        await asyncio.sleep(0.1)
    succeeded: int = status["images"]["succeeded"]  # type: ignore[index]
    assert succeeded == ROWS
    return succeeded


async def _play(objects: Objects, bucket: S3Store, jobs: dict[str, set[str]]) -> None:
    """The Job controller: ends each Job, and counts those of each batch."""
    while True:
        for uid, seen in jobs.items():
            for job in await objects.jobs(uid):
                name = job["metadata"]["uid"]
                if name not in seen:
                    seen.add(name)
                    for index in range(ROWS):
                        await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, index))
                    with suppress(AssertionError):  # it was deleted meanwhile
                        await JobController(objects, job).complete(*range(ROWS))
        await asyncio.sleep(0.1)
