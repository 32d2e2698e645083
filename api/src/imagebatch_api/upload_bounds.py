"""How many uploads run at once, and how long and how big each may be."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from time import perf_counter

from imagebatch_api.metrics import Metrics
from imagebatch_api.problems import RefusedError
from imagebatch_api.settings import ApiSettings

BUSY_RETRY_S = 5


class UploadBounds:
    """Counts the uploads that run, and bounds each."""

    def __init__(self, settings: ApiSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._running: Counter[str | None] = Counter()

    @contextmanager
    def room(self, owner: str | None) -> Iterator[None]:
        """Room for one upload of an owner. Raises RefusedError when there is none."""
        self._check_room(owner)
        self._running[owner] += 1
        started = perf_counter()
        try:
            with self._metrics.uploads_in_progress.track_inprogress():
                yield
        finally:
            self._running -= Counter([owner])  # also forgets an owner who has none left
            self._metrics.upload_seconds.observe(perf_counter() - started)

    def _check_room(self, owner: str | None) -> None:
        running, own = self._running.total(), self._running[owner]
        if running >= self._settings.max_uploads:
            message = f"{running} uploads are running, and there may be no more; try again soon"
        elif owner is not None and own >= self._settings.max_uploads_per_token:
            message = (
                f"{own} uploads of yours are running, and there may be no more; try again when one is done"
            )
        else:
            return
        raise RefusedError(429, "too_many_uploads", message, retry_after_s=BUSY_RETRY_S)

    async def bounded(self, body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The body's chunks, as long as they are not too many, don't stall and don't take too long."""
        size, deadline = 0, asyncio.get_running_loop().time() + self._settings.upload_seconds
        async with aclosing(body):
            while chunk := await self._next(body, deadline):
                size += len(chunk)
                self._metrics.upload_bytes.inc(len(chunk))
                self.check_length(size)
                yield chunk

    async def _next(self, body: AsyncGenerator[bytes, None], deadline: float) -> bytes:
        idle = asyncio.get_running_loop().time() + self._settings.upload_idle_seconds
        try:
            async with asyncio.timeout_at(min(idle, deadline)):
                return await anext(body, b"")
        except TimeoutError:
            raise self._too_slow(is_stalled=idle < deadline) from None

    def _too_slow(self, *, is_stalled: bool) -> RefusedError:
        if is_stalled:
            seconds = self._settings.upload_idle_seconds
            return RefusedError(408, "upload_stalled", f"nothing came for {seconds:g} s; upload it again")
        seconds = self._settings.upload_seconds
        return RefusedError(
            408, "upload_too_slow", f"an upload may take {seconds:g} s; split the file, or use a faster line"
        )

    def check_length(self, size: int) -> None:
        """Raise RefusedError for a body that is too long."""
        limit = self._settings.max_upload_bytes
        if size > limit:
            raise RefusedError(413, "too_large", f"an upload may have {limit} bytes; split the file")
