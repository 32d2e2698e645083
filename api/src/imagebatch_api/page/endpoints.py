"""The handlers of the page: each finds what it shows, and renders it. Forms without a script post here."""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from imagebatch import records
from imagebatch_api import problems
from imagebatch_api.batch_endpoints import BatchEndpoints
from imagebatch_api.incoming import incoming
from imagebatch_api.lookup import Lookup, owner_of
from imagebatch_api.page import choices, recent, results
from imagebatch_api.page.assets import Assets
from imagebatch_api.page.render import Templates
from imagebatch_api.services import Services
from imagebatch_api.settings import ApiSettings
from imagebatch_api.uploads import Uploads
from imagebatch_api.verbs import CANCEL, RESUME, SUSPEND, Verbs
from imagebatch_api.webhook_endpoints import WebhookEndpoints

Handle = Callable[[Request, Exception], Awaitable[Response]]
Handler = Callable[["PageEndpoints", Request], Awaitable[Response]]


def shown(handler: Handler) -> Handler:
    """Shows a refusal as a page, and nothing of anybody's to who has not said whose he is."""

    @wraps(handler)
    async def showing(self: "PageEndpoints", request: Request) -> Response:
        if self.asks_token and owner_of(request) is None:
            return self.templates.page("signed_out.html", pictures=True)
        try:
            return await handler(self, request)
        except tuple(problems.HANDLERS) as error:
            return await self.refusal(request, error)

    return showing


class PageEndpoints:
    """The handlers, over what the app works with."""

    def __init__(
        self,
        services: Services,
        settings: ApiSettings,
        uploads: Uploads,
        batches: BatchEndpoints,
        webhooks: WebhookEndpoints,
    ) -> None:
        self.assets = Assets.load()
        self.asks_token = settings.api_tokens_file is not None
        self.templates = Templates(self.assets, asks_token=self.asks_token)
        self._services = services
        self._lookup = Lookup(services, settings)
        self._uploads = uploads
        self._verbs = Verbs(services)
        self._batches = batches
        self._webhooks = webhooks

    async def index(self, _: Request) -> Response:
        return self.templates.page("upload.html", choices=choices)

    @shown
    async def upload(self, request: Request) -> Response:
        accepted = await self._uploads.take(incoming(request))
        return _leads_to(accepted.request_id)

    @shown
    async def list(self, request: Request) -> Response:
        document = await self._batches.page(request)
        return self.templates.page("batches.html", chosen=request.query_params.get("status"), **document)

    @shown
    async def batch(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        shown = await self._running(found) if found.status == "pending" else await self._ended(request, found)
        return self.templates.page(
            "batch.html",
            pictures=True,
            batch=await self._lookup.document(request, found),
            seconds=found.active_seconds(found.finished_at or found.read_at),
            is_suspended=found.reason == "Suspended",
            **shown,
        )

    async def _running(self, found: records.Request) -> dict[str, Any]:
        pictures = await to_thread.run_sync(recent.pictures, self._services.store, found)
        return {"recent": pictures, "results": None, "deliveries": []}

    async def _ended(self, request: Request, found: records.Request) -> dict[str, Any]:
        after = request.query_params.get("after")
        read = await to_thread.run_sync(results.read, self._services.store, found, after)
        deliveries = await self._services.records.deliveries.of(found.request_id)
        return {"recent": [], "results": read, "deliveries": deliveries, "is_first": after is None}

    @shown
    async def cancel(self, request: Request) -> Response:
        return _leads_to((await self._verbs.change(await self._lookup.find(request), CANCEL)).request_id)

    @shown
    async def suspend(self, request: Request) -> Response:
        return _leads_to((await self._verbs.change(await self._lookup.find(request), SUSPEND)).request_id)

    @shown
    async def resume(self, request: Request) -> Response:
        return _leads_to((await self._verbs.change(await self._lookup.find(request), RESUME)).request_id)

    @shown
    async def retry(self, request: Request) -> Response:
        return _leads_to((await self._verbs.retry(await self._lookup.find(request))).request_id)

    @shown
    async def redeliver(self, request: Request) -> Response:
        await self._webhooks.redeliver(request)
        return _leads_to(request.path_params["request_id"])

    async def static(self, request: Request) -> Response:
        return await self.assets.serve(request)

    async def refusal(self, request: Request, error: Exception) -> Response:
        """What an API's client is told, as a page."""
        handle = next(found for kind, found in problems.HANDLERS.items() if isinstance(error, kind))
        answer = await cast(Handle, handle)(request, error)
        assert isinstance(answer, problems.ProblemResponse)
        kept = {name: value for name, value in answer.headers.items() if name == "retry-after"}
        document = json.loads(bytes(answer.body))
        return self.templates.page("problem.html", answer.status_code, headers=kept, problem=document)


def _leads_to(request_id: str) -> Response:
    return RedirectResponse(f"/page/batches/{request_id}", 303)
