"""Finds the batch that a path names, for whoever asks, and says how it stands."""

from typing import Any

from anyio import to_thread
from starlette.requests import Request

from imagebatch import records
from imagebatch_api.middleware import OWNER
from imagebatch_api.problems import RefusedError
from imagebatch_api.services import Services
from imagebatch_api.settings import ApiSettings
from imagebatch_api.status import ResultLinks, is_request_id, status_document
from imagebatch_api.verbs import unknown_request

NOT_STORED = {"Cache-Control": "no-store"}


class Lookup:
    """Batches by their ids, and their status documents."""

    def __init__(self, services: Services, settings: ApiSettings) -> None:
        self._services = services
        self._settings = settings

    async def find(self, request: Request) -> records.Request:
        """The batch that the path names, unless it is another's: then it is as if there were none."""
        found = await self.find_id(request, request.path_params["request_id"])
        if found is None:
            raise unknown_request()
        return found

    async def find_id(self, request: Request, request_id: str) -> records.Request | None:
        """The caller's batch with this id, if there is one."""
        found = await self._services.find(request_id) if is_request_id(request_id) else None
        is_callers = found is not None and found.uploaded_by == owner_of(request)
        return found if is_callers else None

    def refuse_removed(self, found: records.Request) -> None:
        """Raise RefusedError when the batch's CSVs are gone, because their days were over."""
        if (since := found.removed.outputs) is not None:
            raise RefusedError(
                410,
                "results_removed",
                f"the batch's CSVs were removed on {since:%Y-%m-%d}, as keepDays has it",
            )

    async def document(self, request: Request, found: records.Request) -> dict[str, Any]:
        """The batch's status document, with links for whoever sends `request`."""
        output = found.output_key and await to_thread.run_sync(self._services.store.link, found.output_key)
        links = ResultLinks(
            output_csv=output or None,
            errors_csv=self._file_url(request, found, found.errors_key, "errors.csv"),
            report_csv=self._file_url(request, found, found.report_key, "report.csv"),
        )
        return status_document(found, links)

    def url(self, request: Request, path: str) -> str:
        base = self._settings.public_url or str(request.base_url).rstrip("/")
        return f"{base}{path}"

    def _file_url(self, request: Request, found: records.Request, key: str | None, name: str) -> str | None:
        return self.url(request, f"/batches/{found.request_id}/{name}") if key else None


def owner_of(request: Request) -> str | None:
    """The name of the token that came with the request; None where no tokens are asked for."""
    owner: str | None = request.scope.get(OWNER)
    return owner
