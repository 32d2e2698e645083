"""The handlers of what is under /batches, but for the files: each parses, calls one thing, and answers."""

from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagebatch import records
from imagebatch.csv import report_page
from imagebatch.errors import InputRefusedError, NotFoundError
from imagebatch_api.events import EventStream, events
from imagebatch_api.listing import BATCHES, IMAGES, PageQuery, invalid
from imagebatch_api.lookup import NOT_STORED, Lookup, owner_of
from imagebatch_api.problems import RefusedError
from imagebatch_api.services import Services
from imagebatch_api.settings import ApiSettings
from imagebatch_api.verbs import CANCEL, RESUME, SUSPEND, Verbs
from imagebatch_api.watchers import Watchers


class BatchEndpoints:
    """The handlers, over what the app works with."""

    def __init__(self, services: Services, settings: ApiSettings, lookup: Lookup) -> None:
        self._services = services
        self._lookup = lookup
        self._verbs = Verbs(services)
        self._watchers = Watchers(services, settings.max_watchers)

    async def list(self, request: Request) -> Response:
        return JSONResponse(await self.page(request), headers=NOT_STORED)

    async def page(self, request: Request) -> dict[str, Any]:
        """A page of the caller's batches, as the query asks for it."""
        asked = BATCHES.read(request.query_params)
        after = await self._after(request, asked)
        found = await self._services.records.listed(
            owner_of(request), asked.limit + 1, after=after, status=asked.choice
        )
        shown = found[: asked.limit]
        return {
            "batches": [await self._lookup.document(request, each) for each in shown],
            "next_after": shown[-1].request_id if len(found) > asked.limit else None,
        }

    async def _after(self, request: Request, asked: PageQuery) -> records.Request | None:
        if asked.after is None:
            return None
        found = await self._lookup.find_id(request, asked.after)
        if found is None:
            raise InputRefusedError([invalid("after", "is no batch of yours; take next_after of a page")])
        return found

    async def batch(self, request: Request) -> Response:
        """One route, so that a 405 names both methods."""
        found = await self._lookup.find(request)
        if request.method != "DELETE":
            return await self._answer(request, found)
        await self._verbs.delete(found)
        return Response(status_code=204)

    async def cancel(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        return await self._answer(request, await self._verbs.change(found, CANCEL))

    async def suspend(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        return await self._answer(request, await self._verbs.change(found, SUSPEND))

    async def resume(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        return await self._answer(request, await self._verbs.change(found, RESUME))

    async def retry(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        return await self._answer(request, await self._verbs.retry(found))

    async def events(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        self._watchers.check_room()
        return EventStream(self._watchers, events(self._lookup, self._watchers, request, found))

    async def images(self, request: Request) -> Response:
        asked = IMAGES.read(request.query_params)
        found = await self._lookup.find(request)
        self._lookup.refuse_removed(found)
        missing = RefusedError(404, "no_report", "this batch has no report yet")
        if not found.report_key:
            raise missing
        read = partial(report_page.read, self._services.store, found.report_key)
        try:
            page = await to_thread.run_sync(read, asked.after, asked.limit, asked.choice)
        except NotFoundError:
            raise missing from None
        return JSONResponse({"images": page.images, "next_after": page.next_after}, headers=NOT_STORED)

    async def _answer(self, request: Request, found: records.Request) -> Response:
        return JSONResponse(await self._lookup.document(request, found), headers=NOT_STORED)
