"""Answers who asks for links to a batch's private CSVs, and removes the links when they have expired."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from imagebatch.custom_resource import LINKS_REQUESTED_AT, ImageBatch
from imagebatch.records import Request
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import ObjectStore
from imagebatch_operator.events import Event
from imagebatch_operator.look import Look
from imagebatch_operator.names import LINKS_MANAGER
from imagebatch_operator.status import timestamp
from imagebatch_operator.status_writer import StatusWriter

LIFETIME = timedelta(minutes=10)
"""Who asked begins the download at once; who copies a link by hand has time for that."""

NOT_ENDED = "the batch is not at its end: there is no report yet"
NOTHING = "the batch left no report, or it is not there any more"

Json = dict[str, Any]


class Links:
    """Signs links for those who may change the object."""

    def __init__(self, store: AsyncStore, status: StatusWriter) -> None:
        self._store = store
        self._status = status

    async def keep(self, batch: ImageBatch, request: Request) -> Look:
        """Answer a question that is new; take back what has expired."""
        shown, now = batch.status.get("links", {}), datetime.now(UTC)
        asked = batch.asked(LINKS_REQUESTED_AT, shown)
        if asked:
            return await self._answer(batch, asked, request, now)
        left_s = seconds_left(shown, now)
        if left_s is None or left_s > 0:
            return Look(batch, left_s)
        kept = links_status(shown["requestedAt"], {})
        return Look(await self._status.write_answer(batch, kept, LINKS_MANAGER))

    async def _answer(self, batch: ImageBatch, asked: str, request: Request, now: datetime) -> Look:
        is_pending = request.status == "pending"
        found = {} if is_pending else await self._signed(request)
        if not found:
            refused = links_status(asked, {"error": NOT_ENDED if is_pending else NOTHING})
            return Look(await self._status.write_answer(batch, refused, LINKS_MANAGER))
        until = now + LIFETIME
        message = f"Links to private CSVs were asked for; they are good until {timestamp(until)}"
        answer, event = links_status(asked, found, until), Event("LinksSigned", message)
        written = await self._status.write_answer(batch, answer, LINKS_MANAGER, event)
        return Look(written, LIFETIME.total_seconds())

    async def _signed(self, request: Request) -> Json:
        """The links to what is there, by the fields of the status."""
        keys = {"errorsCsv": request.errors_key, "reportCsv": request.report_key}
        lifetime_s = int(LIFETIME.total_seconds())

        def signed(store: ObjectStore) -> Json:
            return {
                name: list(store.user_links(key, lifetime_s))
                for name, key in keys.items()
                if key and store.head(key) is not None
            }

        return await self._store.run(signed)


def links_status(asked: str, found: Json, until: datetime | None = None) -> Json:
    """The part of the status that answers; nothing is `found` when the links have expired."""
    expiry = {"expiresAt": timestamp(until)} if until is not None else {}
    return {"links": {"requestedAt": asked, **found, **expiry}}


def seconds_left(shown: Mapping[str, Any], now: datetime) -> float | None:
    """How long the links of a status are good still; None when it has none."""
    until = shown.get("expiresAt")
    return (datetime.fromisoformat(until) - now).total_seconds() if until else None
