"""GET /batches/{request_id}/events over a real server: what comes, what it costs, and how it ends."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from imagebatch.batch.control import RecordedControl
from imagebatch.batch.intake import RecordedIntake
from imagebatch.batch.lifecycle import Ending, Phase, Waiting
from imagebatch.errors import RecordsError
from imagebatch.net.guard import AddressPolicy
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Request, Result
from imagebatch.storage import keys
from imagebatch_api import events, server, watchers
from imagebatch_api.app import Services, create_app
from imagebatch_api.settings import ApiSettings
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


class CountingRecords(Records):
    """Counts the looks."""

    looks = 0

    async def get_or_deleted(self, request_id: str) -> Request | None:
        self.looks += 1
        return await super().get_or_deleted(request_id)


@dataclass
class Served:
    """A server, and what it works with."""

    url: str
    records: CountingRecords
    services: Services
    stop: Callable[[], Awaitable[None]]

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=20)


@pytest.fixture
async def served(records: Records, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(watchers, "LOOK_S", 0.05)
    async with serving(records, ApiSettings(max_watchers=3)) as made:
        yield made


@asynccontextmanager
async def serving(records: Records, settings: ApiSettings) -> AsyncIterator[Served]:
    counting = CountingRecords(records._pool)
    control = RecordedControl(counting, lambda _: None, lambda: None)
    intake = RecordedIntake(counting, lambda _: None)
    services = Services(MemoryStore(), counting, intake, control, AddressPolicy())
    listening, started = server.bind("127.0.0.1", 0), asyncio.Event()
    port = listening.getsockname()[1]
    app = create_app(services, settings)
    task = asyncio.create_task(server.serve_on(app, listening, started=started, stopping=services.stopping))
    await started.wait()

    async def stop() -> None:
        task.cancel()
        await asyncio.wait([task])

    yield Served(f"http://127.0.0.1:{port}", counting, services, stop)
    await stop()


@dataclass(frozen=True)
class Event:
    kind: str
    id: str
    document: dict[str, Any]


Stream = AsyncGenerator[Event, None]


async def stream(client: httpx.AsyncClient, request_id: str = "r1", **headers: str) -> Stream:
    """The events of a batch, until the stream ends."""
    async with client.stream("GET", f"/batches/{request_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
                fields = {}


async def made(records: Records, request_id: str = "r1") -> Request:
    await records.create(NewRequest(request_id=request_id, rows=3, images=3))
    found = await records.get(request_id)
    assert found is not None
    return found


async def finish(records: Records, request: Request) -> None:
    result = Result(Counts(3, 3, 0, 9, 4), output_key=keys.output(request.request_id))
    ending = Ending(Phase.COMPLETE, "done")
    assert await records.finish(request, ending, result, "{}", f"msg_{request.request_id}")


async def test_a_batch_is_followed_to_its_end(served: Served) -> None:
    request = await made(served.records)
    async with served.client() as client, aclosing(stream(client)) as found:
        first = await anext(found)
        assert (first.kind, first.document["phase"]) == ("status", "Pending")
        assert first.document == (await client.get("/status/r1")).json()
        waiting = Waiting("StoreUnavailable", "S3 is away")
        await served.records.progress(replace(request, phase=Phase.RUNNING, waiting=waiting))
        second = await anext(found)
        assert (second.document["phase"], second.document["waiting"]) == ("Running", "S3 is away")
        await finish(served.records, request)
        last = await anext(found)
        assert (last.document["status"], last.document["phase"]) == ("complete", "Complete")
        assert len({first.id, second.id, last.id}) == 3
        with pytest.raises(StopAsyncIteration):
            await anext(found)


async def test_what_was_seen_is_not_repeated(served: Served) -> None:
    request = await made(served.records)
    async with served.client() as client:
        async with aclosing(stream(client)) as found:
            seen = await anext(found)
        async with aclosing(stream(client, **{"last-event-id": seen.id})) as found:
            waiting = asyncio.create_task(anext(found))
            looks = served.records.looks
            await until(lambda: served.records.looks > looks + 3)
            assert not waiting.done()
            await finish(served.records, request)
            last = await waiting
            assert last.document["status"] == "complete"
        assert [each async for each in stream(client, **{"last-event-id": last.id})] == []
        assert [each.id async for each in stream(client, **{"last-event-id": "other"})] == [last.id]


async def test_a_stream_of_what_is_not_there_is_404(served: Served) -> None:
    async with served.client() as client:
        assert (await client.get("/batches/none/events")).status_code == 404


async def test_the_stream_of_a_deleted_batch_ends(served: Served) -> None:
    await made(served.records)
    async with served.client() as client, aclosing(stream(client)) as found:
        await anext(found)
        await served.records.delete("r1")
        with pytest.raises(StopAsyncIteration):
            await anext(found)


async def test_watchers_of_one_batch_share_its_looks_and_end_them(served: Served) -> None:
    await made(served.records)
    async with served.client() as client:
        streams = [stream(client) for _ in range(3)]
        for each in streams:
            await anext(each)
        before = {task for task in asyncio.all_tasks() if "Watchers._look" in repr(task)}
        assert len(before) == 1
        assert (await client.get("/batches/r1/events")).status_code == 429
        for each in streams:
            await each.aclose()
        await until(lambda: not any("Watchers._look" in repr(task) for task in asyncio.all_tasks()))
        async with aclosing(stream(client)) as again:
            await anext(again)


async def test_a_refused_watcher_is_told_when_to_come_back(served: Served) -> None:
    await made(served.records)
    async with served.client() as client:
        streams = [stream(client) for _ in range(3)]
        for each in streams:
            await anext(each)
        refused = await client.get("/batches/r1/events")
        assert refused.json()["errors"][0]["code"] == "too_many_watchers"
        assert int(refused.headers["retry-after"]) > 0
        for each in streams:
            await each.aclose()


async def test_a_head_request_takes_no_room(served: Served) -> None:
    await made(served.records)
    async with served.client() as client:
        for _ in range(4):
            answer = await client.head("/batches/r1/events")
            assert (answer.status_code, answer.content) == (200, b"")


async def test_a_comment_comes_when_nothing_happens(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PING_S", 0.05)
    await made(served.records)
    async with served.client() as client, client.stream("GET", "/batches/r1/events") as answer:
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                break


async def test_streams_do_not_hold_up_the_end_of_the_server(served: Served) -> None:
    await made(served.records)
    async with served.client() as client, aclosing(stream(client)) as found:
        await anext(found)
        async with asyncio.timeout(5):
            await served.stop()
        with pytest.raises(StopAsyncIteration):
            await anext(found)


async def test_a_database_that_is_away_ends_no_stream(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await made(served.records)
    async with served.client() as client, aclosing(stream(client)) as found:
        await anext(found)
        asked = asyncio.Event()

        async def fail(_: object, request_id: str) -> None:
            asked.set()
            raise RecordsError(f"Postgres: down ({request_id})")

        with monkeypatch.context() as patched:
            patched.setattr(CountingRecords, "get_or_deleted", fail)
            await asked.wait()
        await finish(served.records, request)
        assert (await anext(found)).document["status"] == "complete"
