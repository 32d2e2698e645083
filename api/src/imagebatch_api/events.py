"""GET /batches/{request_id}/events: a batch's status documents as Server-Sent Events, one at each change."""

import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import structlog
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from imagebatch import records
from imagebatch_api.lookup import Lookup
from imagebatch_api.status import ResultLinks, status_document
from imagebatch_api.watchers import Watchers

PING_S = 15
SEND_S = 30.0
"""A client that takes nothing for so long is given up."""

log = structlog.get_logger()


class EventStream(EventSourceResponse):
    """The events of a batch to one watcher. They end when the server stops (see `Watchers.follow`)."""

    def __init__(self, watchers: Watchers, events: AsyncGenerator[ServerSentEvent, None]) -> None:
        super().__init__(events, ping=PING_S, sep="\n", send_timeout=SEND_S)
        self._watchers = watchers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._watchers.room():
                await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.info("a watcher takes no events any more", path=scope["path"])

    @staticmethod
    async def _listen_for_exit_signal() -> None:
        """The library's own would look for a signal twice a second, for ever: our server tells us itself."""
        await anyio.sleep_forever()


async def events(
    lookup: Lookup, watchers: Watchers, request: Request, found: records.Request
) -> AsyncGenerator[ServerSentEvent, None]:
    """An event for the status as it is, and for each change of it; what the watcher has is not repeated."""
    shown = request.headers.get("last-event-id")
    async with aclosing(watchers.follow(found)) as looks:
        async for each in looks:
            digest = digest_of(each)
            if digest != shown:
                shown = digest
                document = await lookup.document(request, each)
                yield ServerSentEvent(json.dumps(document, ensure_ascii=False), event="status", id=digest)


def digest_of(found: records.Request) -> str:
    """What tells one status from the next. Links are no part of it: signed ones differ at each look."""
    facts = [
        status_document(found, ResultLinks()),
        found.attempt,
        found.output_key,
        found.errors_key,
        found.report_key,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
