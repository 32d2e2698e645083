"""The client for programs without an event loop."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
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


class Client:
    """One ImageBatch server. A context manager; every call raises ImageBatchError when it fails."""

    def __init__(self, base_url: str = "http://127.0.0.1:8080", token: str = "") -> None:
        self._connection = Connection(base_url, token)
        self._http = httpx.Client(**self._connection.settings())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.shown!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- uploads -------------------------------------------------------------------------------------

    def submit(
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
                return self._ask(call, source)
            except ImageBatchError as error:
                pause_s = repeating.pause_s(error)
            time.sleep(pause_s)

    def check(
        self, source: Source, *, more_fields: Mapping[str, str] | None = None, **options: Unpack[Options]
    ) -> Checked:
        """Have everything of an upload checked, and nothing kept."""
        return self._ask(calls.check({**fields.form(options), **(more_fields or {})}), source)

    # -- batches -------------------------------------------------------------------------------------

    def get(self, batch_id: str) -> Batch:
        """How a batch stands."""
        return self._ask(calls.batch(batch_id))

    def list(
        self, *, limit: int | None = None, after: str | None = None, status: str | None = None
    ) -> Page[Batch]:
        """A page of your batches, newest first."""
        return self._ask(calls.batches(limit, after, status))

    def batches(self, *, status: str | None = None) -> Iterator[Batch]:
        """All of your batches, newest first, page by page."""
        after: str | None = None
        while True:
            page = self.list(limit=100, after=after, status=status)
            yield from page.items
            if (after := page.next_after) is None:
                return

    def cancel(self, batch_id: str) -> Batch:
        """End it with what it has."""
        return self._ask(calls.change(batch_id, "cancel"))

    def suspend(self, batch_id: str) -> Batch:
        """Stop its work until `resume`."""
        return self._ask(calls.change(batch_id, "suspend"))

    def resume(self, batch_id: str) -> Batch:
        return self._ask(calls.change(batch_id, "resume"))

    def retry(self, batch_id: str) -> Batch:
        """Run again what failed or was not tried."""
        return self._ask(calls.change(batch_id, "retry"))

    def delete(self, batch_id: str) -> None:
        """Remove a batch that has ended, its images and CSVs too."""
        self._ask(calls.delete(batch_id))

    # -- to its end ----------------------------------------------------------------------------------

    def watch(self, batch_id: str, *, timeout_s: float | None = None) -> Iterator[Batch]:
        """The batch as it stands now, and after each change, up to its end. Raises WaitTimeoutError."""
        following = Following(batch_id, time.monotonic(), timeout_s)
        while not following.is_over:
            try:
                if following.wants_stream(time.monotonic()):
                    yield from self._stream(following)
                    following.stream_ended()
                else:
                    yield from following.polled(self._ask(following.poll()), time.monotonic())
            except ImageBatchError as error:
                following.failed(error, time.monotonic())
            if not following.is_over:
                time.sleep(following.pause_s(time.monotonic()))

    def _stream(self, following: Following) -> Iterator[Batch]:
        call = following.stream()
        timeout = httpx.Timeout(15, read=SILENCE_S)
        request = self._http.build_request(**arguments(call), timeout=timeout)
        with ExitStack() as stack:
            with self._connection.translating():
                response = self._http.send(request, stream=True)
                stack.callback(response.close)
                if not response.is_success:
                    response.read()
                    raise calls.refusal(_answer(response))
            following.opened(response.status_code, response.headers.get("content-type", ""))
            chunks = response.iter_bytes()
            while following.wants_stream(time.monotonic()):
                with self._connection.translating():
                    chunk = next(chunks, None)
                if chunk is None:
                    return
                yield from following.received(chunk, time.monotonic())
                if following.is_over:
                    return

    def wait(self, batch_id: str, timeout_s: float | None = None) -> Batch:
        """Return the batch at its end. Raises WaitTimeoutError."""
        for found in self.watch(batch_id, timeout_s=timeout_s):
            last = found
        return last

    # -- results -------------------------------------------------------------------------------------

    def image_page(
        self,
        batch_id: str,
        *,
        limit: int | None = None,
        after: str | None = None,
        outcome: str | None = None,
    ) -> Page[Image]:
        """A page of what became of each image of a batch that has ended."""
        return self._ask(calls.images(batch_id, after, limit, outcome))

    def images(self, batch_id: str, *, outcome: str | None = None, page_size: int = 1000) -> Iterator[Image]:
        """What became of each image of a batch that has ended, page by page.

        `outcome` may be succeeded, failed or skipped.
        """
        after: str | None = None
        while True:
            page = self._ask(calls.images(batch_id, after, page_size, outcome))
            yield from page.items
            if (after := page.next_after) is None:
                return

    def download(self, url: str, path: str | Path) -> None:
        """Save what a link of a batch leads to; the file appears whole or not at all. Raises OSError too."""
        translating, asked = self._connection.translating(), self._http.stream("GET", url)
        with replacing(Path(path)) as file, translating, asked as response:
            if not response.is_success:
                response.read()
                raise calls.refusal_of_link(url, _answer(response))
            for chunk in response.iter_bytes():
                file.write(chunk)

    # -- webhooks ------------------------------------------------------------------------------------

    def deliveries(self, batch_id: str) -> tuple[Delivery, ...]:
        """The webhooks of a batch, newest first."""
        return self._ask(calls.deliveries(batch_id))

    def redeliver(self, batch_id: str) -> Delivery:
        """Have its webhook sent again, under the same id."""
        return self._ask(calls.redeliver(batch_id))

    def test_webhook(self, url: str) -> WebhookTest:
        """Have a signed test event sent there."""
        return self._ask(calls.test_webhook(url))

    # -- requests ------------------------------------------------------------------------------------

    def _ask(self, call: Call[T], source: Source | None = None) -> T:
        with opened(source) as content, self._connection.translating():
            request = self._http.build_request(**arguments(call, source, content))
            response = self._http.send(request)
        return calls.answered(call, _answer(response))


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.content, response.headers)
