"""The client for programs with an event loop: the methods of `sync`, to be awaited."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from imagebatch_client import calls, fields
from imagebatch_client.calls import Answer, Call
from imagebatch_client.connection import (
    Connection,
    Source,
    arguments,
    new_key,
    opened,
    replacing,
)
from imagebatch_client.documents import Accepted, Batch, Checked, Delivery, Image, Page, WebhookTest
from imagebatch_client.errors import ImageBatchError
from imagebatch_client.fields import Options
from imagebatch_client.following import SILENCE_S, Following
from imagebatch_client.repeating import Repeating

T = TypeVar("T")


class AsyncClient:
    """One ImageBatch server. An async context manager; every call raises ImageBatchError when it fails."""

    def __init__(self, base_url: str = "http://127.0.0.1:8080", token: str = "") -> None:
        self._connection = Connection(base_url, token)
        self._http = httpx.AsyncClient(**self._connection.settings())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.shown!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # -- uploads -------------------------------------------------------------------------------------

    async def submit(
        self,
        source: Source,
        *,
        idempotency_key: str = "",
        more_fields: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> Accepted:
        """Upload a CSV: a path, whose file is read while it is sent, or bytes.

        When the answer is lost, it is uploaded again, with the same key: it stays one batch. `more_fields`
        go with it by the API's own names.
        """
        given = {**fields.form(options), **(more_fields or {})}
        call = calls.upload(given, idempotency_key or new_key())
        repeating = Repeating()
        while True:
            try:
                return await self._ask(call, source)
            except ImageBatchError as error:
                pause_s = repeating.pause_s(error)
            await asyncio.sleep(pause_s)

    async def check(
        self, source: Source, *, more_fields: Mapping[str, str] | None = None, **options: Unpack[Options]
    ) -> Checked:
        """Have everything of an upload checked, and nothing kept."""
        return await self._ask(calls.check({**fields.form(options), **(more_fields or {})}), source)

    # -- batches -------------------------------------------------------------------------------------

    async def get(self, batch_id: str) -> Batch:
        """How a batch stands."""
        return await self._ask(calls.batch(batch_id))

    async def list(
        self, *, limit: int | None = None, after: str | None = None, status: str | None = None
    ) -> Page[Batch]:
        """A page of your batches, newest first."""
        return await self._ask(calls.batches(limit, after, status))

    async def batches(self, *, status: str | None = None) -> AsyncGenerator[Batch, None]:
        """All of your batches, newest first, page by page."""
        after: str | None = None
        while True:
            page = await self.list(limit=100, after=after, status=status)
            for item in page.items:
                yield item
            if (after := page.next_after) is None:
                return

    async def cancel(self, batch_id: str) -> Batch:
        """End it with what it has."""
        return await self._ask(calls.change(batch_id, "cancel"))

    async def suspend(self, batch_id: str) -> Batch:
        """Stop its work until `resume`."""
        return await self._ask(calls.change(batch_id, "suspend"))

    async def resume(self, batch_id: str) -> Batch:
        return await self._ask(calls.change(batch_id, "resume"))

    async def retry(self, batch_id: str) -> Batch:
        """Run again what failed or was not tried."""
        return await self._ask(calls.change(batch_id, "retry"))

    async def delete(self, batch_id: str) -> None:
        """Remove a batch that has ended, its images and CSVs too."""
        await self._ask(calls.delete(batch_id))

    # -- to its end ----------------------------------------------------------------------------------

    async def watch(self, batch_id: str, *, timeout_s: float | None = None) -> AsyncGenerator[Batch, None]:
        """The batch as it stands now, and after each change, up to its end. Raises WaitTimeoutError."""
        following = Following(batch_id, time.monotonic(), timeout_s)
        while not following.is_over:
            try:
                if following.wants_stream(time.monotonic()):
                    async with aclosing(self._stream(following)) as stream:
                        async for new in stream:
                            yield new
                    following.stream_ended()
                else:
                    found = await self._ask(following.poll())
                    for new in following.polled(found, time.monotonic()):
                        yield new
            except ImageBatchError as error:
                following.failed(error, time.monotonic())
            if not following.is_over:
                await asyncio.sleep(following.pause_s(time.monotonic()))

    async def _stream(self, following: Following) -> AsyncGenerator[Batch, None]:
        call = following.stream()
        timeout = httpx.Timeout(15, read=SILENCE_S)
        request = self._http.build_request(**arguments(call), timeout=timeout)
        async with AsyncExitStack() as stack:
            with self._connection.translating():
                response = await self._http.send(request, stream=True)
                stack.push_async_callback(response.aclose)
                if not response.is_success:
                    await response.aread()
                    raise calls.refusal(_answer(response))
            following.opened(response.status_code, response.headers.get("content-type", ""))
            chunks = response.aiter_bytes()
            while following.wants_stream(time.monotonic()):
                with self._connection.translating():
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                for new in following.received(chunk, time.monotonic()):
                    yield new
                if following.is_over:
                    return

    async def wait(self, batch_id: str, timeout_s: float | None = None) -> Batch:
        """Return the batch at its end. Raises WaitTimeoutError."""
        async for found in self.watch(batch_id, timeout_s=timeout_s):
            last = found
        return last

    # -- results -------------------------------------------------------------------------------------

    async def image_page(
        self,
        batch_id: str,
        *,
        limit: int | None = None,
        after: str | None = None,
        outcome: str | None = None,
    ) -> Page[Image]:
        """A page of what became of each image of a batch that has ended."""
        return await self._ask(calls.images(batch_id, after, limit, outcome))

    async def images(
        self, batch_id: str, *, outcome: str | None = None, page_size: int = 1000
    ) -> AsyncGenerator[Image, None]:
        """What became of each image of a batch that has ended, page by page.

        `outcome` may be succeeded, failed or skipped.
        """
        after: str | None = None
        while True:
            page = await self._ask(calls.images(batch_id, after, page_size, outcome))
            for item in page.items:
                yield item
            if (after := page.next_after) is None:
                return

    async def download(self, url: str, path: str | Path) -> None:
        """Save what a link of a batch leads to; the file appears whole or not at all. Raises OSError too."""
        with replacing(Path(path)) as file, self._connection.translating():
            async with self._http.stream("GET", url) as response:
                if not response.is_success:
                    await response.aread()
                    raise calls.refusal_of_link(url, _answer(response))
                async for chunk in response.aiter_bytes():
                    file.write(chunk)

    # -- webhooks ------------------------------------------------------------------------------------

    async def deliveries(self, batch_id: str) -> tuple[Delivery, ...]:
        """The webhooks of a batch, newest first."""
        return await self._ask(calls.deliveries(batch_id))

    async def redeliver(self, batch_id: str) -> Delivery:
        """Have its webhook sent again, under the same id."""
        return await self._ask(calls.redeliver(batch_id))

    async def test_webhook(self, url: str) -> WebhookTest:
        """Have a signed test event sent there."""
        return await self._ask(calls.test_webhook(url))

    # -- requests ------------------------------------------------------------------------------------

    async def _ask(self, call: Call[T], source: Source | None = None) -> T:
        with opened(source) as content, self._connection.translating():
            request = self._http.build_request(**arguments(call, source, content))
            response = await self._http.send(request)
        return calls.answered(call, _answer(response))


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.content, response.headers)
