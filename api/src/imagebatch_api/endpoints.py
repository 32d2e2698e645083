"""The handlers: each parses a request, calls one thing, and answers."""

from typing import Any

from anyio import to_thread
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagebatch import records
from imagebatch.errors import NotFoundError
from imagebatch_api import errors_file, health, openapi, page
from imagebatch_api.meters import Meters
from imagebatch_api.problems import RefusedError, unavailable
from imagebatch_api.services import Services
from imagebatch_api.settings import ApiSettings
from imagebatch_api.status import is_request_id, status_document
from imagebatch_api.uploads import Accepted, Incoming, Uploads

NOT_STORED = {"Cache-Control": "no-store"}


class Endpoints:
    """The handlers of one app, over what it works with."""

    def __init__(self, services: Services, settings: ApiSettings, meters: Meters) -> None:
        self._services = services
        self._settings = settings
        self._meters = meters
        self._uploads = Uploads(services, settings, meters)
        self._openapi = openapi.document(settings)
        self._page = page.load()

    async def upload(self, request: Request) -> Response:
        accepted = await self._uploads.take(_incoming(request))
        path = f"/status/{accepted.request_id}"
        return JSONResponse(_answer(accepted, self._url(request, path)), 202, {"Location": path})

    async def status(self, request: Request) -> Response:
        found = await self._find(request.path_params["request_id"])
        output = found.output_key and await to_thread.run_sync(self._services.store.link, found.output_key)
        errors = found.errors_key and self._url(request, f"/batches/{found.request_id}/errors.csv")
        return JSONResponse(status_document(found, output or None, errors or None), headers=NOT_STORED)

    async def errors_csv(self, request: Request) -> Response:
        found = await self._find(request.path_params["request_id"])
        missing = RefusedError(404, "no_errors_file", "this batch has no errors file")
        if not found.errors_key:
            raise missing
        try:
            name = f"{found.request_id}_errors.csv"
            return await errors_file.response(self._services.store, found.errors_key, name)
        except NotFoundError:
            raise missing from None

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=NOT_STORED)

    async def readyz(self, _: Request) -> Response:
        missing = await health.not_ready(self._services)
        if missing:
            raise unavailable("not_ready", f"not ready: {', '.join(missing)}")
        return JSONResponse({"status": "ready"}, headers=NOT_STORED)

    async def metrics(self, _: Request) -> Response:
        return Response(self._meters.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(self._openapi)

    async def index(self, _: Request) -> Response:
        return Response(self._page.html, headers=self._page.headers, media_type="text/html")

    async def _find(self, request_id: str) -> records.Request:
        found = await self._services.find(request_id) if is_request_id(request_id) else None
        if found is None:
            raise RefusedError(404, "unknown_request", "there is no request with this id")
        return found

    def _url(self, request: Request, path: str) -> str:
        base = self._settings.public_url or str(request.base_url).rstrip("/")
        return f"{base}{path}"


def _incoming(request: Request) -> Incoming:
    length = request.headers.get("content-length", "")
    return Incoming(
        content_type=request.headers.get("content-type", ""),
        length=int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None,
        query=request.query_params.multi_items(),
        idempotency_key=request.headers.get("idempotency-key"),
        body=request.stream(),
    )


def _answer(accepted: Accepted, status_url: str) -> dict[str, Any]:
    return {
        "request_id": accepted.request_id,
        "status": "pending",
        "status_url": status_url,
        "rows": accepted.rows,
        "images": accepted.images,
        "warnings": [warning.as_dict() for warning in accepted.warnings],
    }
