"""The handlers: each parses a request, calls one thing, and answers."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagebatch.errors import NotFoundError
from imagebatch_api import dry_run, health, openapi, private_file
from imagebatch_api.dry_run import DryRuns
from imagebatch_api.idempotency import Accepted
from imagebatch_api.incoming import incoming
from imagebatch_api.lookup import NOT_STORED, Lookup
from imagebatch_api.metrics import Metrics
from imagebatch_api.problems import RefusedError, unavailable
from imagebatch_api.services import Services
from imagebatch_api.settings import ApiSettings
from imagebatch_api.upload_bounds import UploadBounds
from imagebatch_api.upload_reader import UploadReader
from imagebatch_api.uploads import Uploads


class Endpoints:
    """The handlers of one app, over what it works with."""

    def __init__(self, services: Services, settings: ApiSettings, metrics: Metrics, lookup: Lookup) -> None:
        self._services = services
        self._metrics = metrics
        self._lookup = lookup
        bounds = UploadBounds(settings, metrics)
        reader = UploadReader(settings, services.policy, bounds)
        self.uploads = Uploads(services, reader, bounds)
        self._dry_runs = DryRuns(reader, bounds, services.policy)
        self._openapi = openapi.document(settings)

    async def upload(self, request: Request) -> Response:
        if dry_run.is_asked(request.query_params.multi_items()):
            return JSONResponse((await self._dry_runs.check(incoming(request))).document())
        accepted = await self.uploads.take(incoming(request))
        path = f"/status/{accepted.request_id}"
        return JSONResponse(_answer(accepted, self._lookup.url(request, path)), 202, {"Location": path})

    async def status(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        return JSONResponse(await self._lookup.document(request, found), headers=NOT_STORED)

    async def errors_csv(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        self._lookup.refuse_removed(found)
        return await self._file(
            found.errors_key, RefusedError(404, "no_errors_file", "this batch has no errors file")
        )

    async def report_csv(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        self._lookup.refuse_removed(found)
        return await self._file(
            found.report_key, RefusedError(404, "no_report", "this batch has no report yet")
        )

    async def _file(self, key: str | None, missing: RefusedError) -> Response:
        """A private file of a batch as a download by its own name; raises `missing` where there is none."""
        if not key:
            raise missing
        try:
            return await private_file.response(self._services.store, key, key.rpartition("/")[2])
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
        of_batches = self._services.metrics
        text = self._metrics.text() + (await of_batches.text() if of_batches else b"")
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(self._openapi)


def _answer(accepted: Accepted, status_url: str) -> dict[str, Any]:
    return {
        "request_id": accepted.request_id,
        "status": "pending",
        "status_url": status_url,
        "rows": accepted.rows,
        "images": accepted.images,
        "warnings": [warning.as_dict() for warning in accepted.warnings],
    }
