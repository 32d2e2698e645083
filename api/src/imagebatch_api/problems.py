"""Errors as application/problem+json (RFC 9457): the one place where exceptions become answers."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ExceptionHandler

from imagebatch.errors import (
    BeingRemovedError,
    ConflictError,
    FilesRemovedError,
    ImageBatchError,
    InputRefusedError,
    NotControlledError,
    Problem,
    RecordsError,
    StoreError,
    StoreFullError,
)

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100
RETRY_AFTER_S = 5

log = structlog.get_logger()


class RefusedError(ImageBatchError):
    """A request that is answered with a problem: its HTTP status, and what is wrong."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(code, message)
        self.headers = {} if retry_after_s is None else {"Retry-After": str(math.ceil(retry_after_s))}


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def answer(
    status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None, hint: str = ""
) -> ProblemResponse:
    """The answer for a request that failed, with the first `MAX_ERRORS` things that are wrong.

    `hint` is for who calls the API by himself; the command and the page have hints of their own.
    """
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _summary(problems),
        "errors": [problem.as_dict() for problem in problems[:MAX_ERRORS]],
    }
    return ProblemResponse(document | ({"hint": hint} if hint else {}), status, headers)


def _summary(problems: Sequence[Problem]) -> str:
    first = problems[0]
    text = first.message if first.line is None else f"line {first.line}: {first.message}"
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"


def unavailable(code: str, message: str) -> RefusedError:
    return RefusedError(503, code, message, retry_after_s=RETRY_AFTER_S)


async def on_refusal(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RefusedError)
    return answer(error.status, [error.problem], error.headers)


async def on_input_refused(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, InputRefusedError)
    return answer(422, error.problems, hint=_hint(error.problems))


def _hint(problems: Sequence[Problem]) -> str:
    if any(problem.code == "not_utf8" for problem in problems):
        return "declare it with the field `encoding`, before the file, or with ?encoding=NAME in the URL"
    return ""


async def on_store_error(request: Request, error: Exception) -> ProblemResponse:
    log.warning("object store failed", path=request.url.path, error=str(error))
    if isinstance(error, StoreFullError):
        return await on_refusal(request, unavailable("storage_full", "S3 has no room for more"))
    return await on_refusal(request, unavailable("storage_unavailable", "S3 does not answer as it should"))


async def on_records_error(request: Request, error: Exception) -> ProblemResponse:
    log.warning("records failed", path=request.url.path, error=str(error))
    return await on_refusal(request, unavailable("records_unavailable", "the database does not answer"))


async def on_being_removed(request: Request, error: Exception) -> ProblemResponse:
    return await on_refusal(request, unavailable("being_removed", f"{error}; try again"))


async def on_conflict(_: Request, error: Exception) -> ProblemResponse:
    return answer(409, [Problem("conflict", str(error))])


async def on_not_controlled(_: Request, error: Exception) -> ProblemResponse:
    return answer(409, [Problem("not_controlled", str(error))])


async def on_files_removed(_: Request, error: Exception) -> ProblemResponse:
    return answer(409, [Problem("files_removed", str(error))])


async def on_disconnect(request: Request, _: Exception) -> ProblemResponse:
    """Nobody reads this answer; it is counted."""
    log.info("the client went away", path=request.url.path)
    return answer(400, [Problem("client_disconnected", "the connection ended before the request did")])


async def on_http_exception(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    problem = Problem(phrase.lower().replace(" ", "_"), _SENTENCES.get(error.status_code, phrase))
    return answer(error.status_code, [problem], error.headers)


_SENTENCES = {
    404: "there is nothing under this path; /openapi.json lists what there is",
    405: "this path does not take this method",
}

HANDLERS: dict[type[Exception], ExceptionHandler] = {
    RefusedError: on_refusal,
    InputRefusedError: on_input_refused,
    StoreError: on_store_error,
    RecordsError: on_records_error,
    ConflictError: on_conflict,
    BeingRemovedError: on_being_removed,
    NotControlledError: on_not_controlled,
    FilesRemovedError: on_files_removed,
    ClientDisconnect: on_disconnect,
    HTTPException: on_http_exception,
}
