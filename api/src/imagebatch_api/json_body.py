"""A small JSON object as the body of a request."""

import asyncio
import json

from starlette.requests import Request

from imagebatch.errors import InputRefusedError
from imagebatch_api.problems import RefusedError

MAX_BYTES = 16 * 1024
SECONDS = 10.0
MEDIA_TYPE = "application/json"


async def read(request: Request, *fields: str) -> dict[str, str]:
    """The object's texts, which are exactly `fields`. Raises RefusedError, InputRefusedError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise RefusedError(415, "unsupported_media_type", f"send it as {MEDIA_TYPE}")
    found = _parsed(await _received(request))
    wanted = ", ".join(fields)
    if not isinstance(found, dict) or found.keys() != set(fields):
        raise InputRefusedError.of("invalid_body", f"the body is to be a JSON object with {wanted}")
    if not all(isinstance(value, str) for value in found.values()):
        raise InputRefusedError.of("invalid_body", f"the body's {wanted} is to be a text")
    return found


async def _received(request: Request) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise RefusedError(413, "too_large", f"the body may have {MAX_BYTES} bytes")
    except TimeoutError:
        raise RefusedError(408, "upload_stalled", f"the body did not come within {SECONDS:g} s") from None
    return bytes(data)


def _parsed(data: bytes) -> object:
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        raise InputRefusedError.of("invalid_body", "the body is not JSON in UTF-8") from None
    return found
