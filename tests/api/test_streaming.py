"""Uploads as they flow: back-pressure, clients that go away or stall, and how many run at once."""

import asyncio
import itertools
import threading
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import anyio
import pytest

from imagebatch import thread_reader as reading
from imagebatch.storage.store import Media, Stored
from imagebatch.thread_reader import BrokenOffError, ThreadReader
from imagebatch_testing.memory_store import MemoryStore, held

pytestmark = pytest.mark.anyio

HEADER = b"Serial Number,Product Name,Input Image Urls\n"
LINE = b"1,Shoe,https://a.test/1.jpg\n"
CSV_TYPE = {"content-type": "text/csv"}
MIB = 1024 * 1024

Send = Callable[[dict[str, Any]], Awaitable[None]]


def a_scope(**headers: str) -> dict[str, Any]:
    given = {"host": "127.0.0.1", "content-type": "text/csv", **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/upload",
        "raw_path": b"/upload",
        "root_path": "",
        "query_string": b"",
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 40_000),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }


class Answers(list[dict[str, Any]]):
    async def __call__(self, message: dict[str, Any]) -> None:
        self.append(message)

    @property
    def status(self) -> int:
        return int(self[0]["status"])


class CountingStore(MemoryStore):
    """Reads a stream to its end, and keeps only its size; reads on only while `gate` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.size = 0

    def put_stream(self, key: str, chunks: Iterable[bytes], media: Media) -> Stored:
        for chunk in chunks:
            self.gate.wait(30)
            self.size += len(chunk)
        return self.put(key, b"", media)


async def test_a_large_upload_in_small_chunks_needs_little_memory(make_app: Any, connect: Any) -> None:
    store = CountingStore()
    store.gate.set()

    async def body() -> AsyncIterator[bytes]:
        yield HEADER
        line = b"1,Shoe,https://a.test/" + b"x" * 1000 + b"\n"
        for _ in range(20_000):
            yield line

    async with connect(make_app(store=store)) as client:
        tracemalloc.start()
        try:
            response = await client.post("/upload", content=body(), headers=CSV_TYPE)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert response.status_code == 202
    assert store.size > 20_000_000
    assert peak < 8 * MIB


async def test_a_store_that_is_slow_holds_the_sender_back(make_app: Any) -> None:
    store = CountingStore()
    app, answers = make_app(store=store), Answers()
    sent = 0
    block = LINE * 4_000

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += len(block)
        return {
            "type": "http.request",
            "body": HEADER + block if sent == len(block) else block,
            "more_body": sent < 20 * MIB,
        }

    upload = asyncio.create_task(app(a_scope(), receive, answers))
    await settle(lambda: sent)
    assert sent < 2 * MIB
    store.gate.set()
    await upload
    assert answers.status == 202
    assert sent >= 20 * MIB


async def settle(value: Callable[[], int]) -> None:
    """Wait until a value has stopped to change for many turns of the loop and some time of the thread."""
    with anyio.fail_after(30):
        calm, last = 0, value()
        while calm < 50:
            await asyncio.to_thread(threading.Event().wait, 0.005)
            calm, last = (calm + 1, last) if value() == last else (0, value())


@pytest.mark.parametrize("sent_before", [0, 1, 3, 40_000], ids=["at once", "in the header", "small", "large"])
async def test_a_client_that_goes_away_leaves_nothing(
    make_app: Any, store: MemoryStore, intake: Any, sent_before: int
) -> None:
    chunks = itertools.chain([HEADER], itertools.repeat(LINE))
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": True}
        for chunk in itertools.islice(chunks, sent_before)
    ]
    messages.append({"type": "http.disconnect"})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    await make_app()(a_scope(), receive, Answers())
    assert held(store) == []
    assert intake.taken == []


@pytest.mark.integration
async def test_a_client_that_goes_away_leaves_no_part_on_real_s3(make_app: Any, s3_store: Any) -> None:
    block = b"".join(b"%d,Shoe,https://a.test/%s\n" % (n, b"x" * 1000) for n in range(1000))
    messages = [{"type": "http.request", "body": HEADER, "more_body": True}]
    messages += [{"type": "http.request", "body": block, "more_body": True}] * 12
    messages += [{"type": "http.disconnect"}]
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    await make_app(store=s3_store)(a_scope(), receive, Answers())
    assert held(s3_store) == []
    unfinished = s3_store._client._list_multipart_uploads(s3_store._bucket)
    assert not unfinished.uploads


async def test_an_upload_that_stalls_is_ended(make_app: Any, store: MemoryStore) -> None:
    first = iter([HEADER + LINE])

    async def receive() -> dict[str, Any]:
        chunk = next(first, None)
        if chunk is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": True}

    answers = Answers()
    await make_app(upload_idle_seconds=0.05)(a_scope(), receive, answers)
    assert answers.status == 408
    assert held(store) == []


async def test_a_cancelled_upload_leaves_nothing(make_app: Any, store: MemoryStore) -> None:
    reading = asyncio.Event()
    first = iter([HEADER, LINE])

    async def receive() -> dict[str, Any]:
        chunk = next(first, None)
        if chunk is None:
            reading.set()
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": True}

    upload = asyncio.create_task(make_app()(a_scope(), receive, Answers()))
    await reading.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert held(store) == []


async def test_a_promise_is_kept_though_its_request_is_cancelled(make_app: Any, store: MemoryStore) -> None:
    begun, go_on, promised = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow:
        async def submit(self, _: Any) -> None:
            begun.set()
            await go_on.wait()
            promised.set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": HEADER + LINE, "more_body": False}

    upload = asyncio.create_task(make_app(intake=Slow())(a_scope(), receive, Answers()))
    await begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    go_on.set()
    await promised.wait()
    assert len(held(store)) == 2


async def test_only_so_many_uploads_run_at_once(make_app: Any, connect: Any) -> None:
    hold, begun = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield HEADER + LINE
        begun.set()
        await hold.wait()

    async with connect(make_app(max_uploads=1)) as client:
        first = asyncio.create_task(client.post("/upload", content=slow(), headers=CSV_TYPE))
        await begun.wait()
        second = await client.post("/upload", content=HEADER + LINE, headers=CSV_TYPE)
        assert second.status_code == 429
        assert int(second.headers["retry-after"]) > 0
        assert "imagebatch_uploads_in_progress 1.0" in (await client.get("/metrics")).text
        hold.set()
        assert (await first).status_code == 202
        third = await client.post("/upload", content=HEADER + LINE, headers=CSV_TYPE)
        assert third.status_code == 202


async def test_refusals_give_their_places_back(make_app: Any, connect: Any) -> None:
    async with connect(make_app(max_uploads=1)) as client:
        for _ in range(3):
            response = await client.post("/upload", content=b"nonsense", headers=CSV_TYPE)
            assert response.status_code == 422


async def test_an_early_refusal_ends_the_reading(make_app: Any, connect: Any) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"not,a,header\n" * 5000

    async with connect(make_app()) as client:
        response = await client.post("/upload", content=endless(), headers=CSV_TYPE)
    assert response.status_code == 422
    assert sent < 50


# -- the reading alone ----------------------------------------------------------------------------------


async def test_a_handover_keeps_every_byte_in_order() -> None:
    chunks = [bytes([n % 256]) * (n * 37 % 5000) for n in range(500)]
    async with ThreadReader[bytes](anyio.CapacityLimiter(1)) as over:
        over.start(b"".join)
        for chunk in chunks:
            await over.feed(chunk)
        assert await over.finish() == b"".join(chunks)


async def test_a_reader_never_takes_a_broken_stream_for_a_whole_one() -> None:
    seen: list[str] = []

    def read(chunks: Iterable[bytes]) -> None:
        try:
            b"".join(chunks)
            seen.append("whole")
        except BrokenOffError:
            seen.append("broken")

    async with ThreadReader[None](anyio.CapacityLimiter(1)) as over:
        over.start(read)
        await over.feed(b"x" * reading.BLOCK_BYTES)
    assert seen == ["broken"]


async def test_what_the_reader_raises_reaches_the_feeder() -> None:
    def read(_: Iterable[bytes]) -> None:
        raise LookupError("early")

    async with ThreadReader[None](anyio.CapacityLimiter(1)) as over:
        over.start(read)
        with pytest.raises(LookupError, match="early"):
            await feed_blocks(over, 100)


async def feed_blocks(over: ThreadReader[None], count: int) -> None:
    for _ in range(count):
        await over.feed(b"x" * reading.BLOCK_BYTES)
