"""An upload as it comes from starlette: for the API's endpoint and the page's form."""

from starlette.requests import Request

from imagebatch_api import dry_run
from imagebatch_api.lookup import owner_of
from imagebatch_api.upload_reader import Incoming


def incoming(request: Request) -> Incoming:
    length = request.headers.get("content-length", "")
    return Incoming(
        content_type=request.headers.get("content-type", ""),
        length=int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None,
        query=[item for item in request.query_params.multi_items() if item[0] != dry_run.PARAMETER],
        idempotency_key=request.headers.get("idempotency-key"),
        body=request.stream(),
        owner=owner_of(request),
    )
