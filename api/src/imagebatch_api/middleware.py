"""What stands around every request: counting, safe headers, a last resort for errors, and who may ask.

Plain ASGI. `imagebatch_api.app` puts them together, outermost first; bearer tokens will be checked after
`HostGuard`, before the routes.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagebatch.errors import Problem
from imagebatch_api import problems
from imagebatch_api.meters import Meters

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that say nothing worth hiding, asked by probes that know only an address."""

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}

log = structlog.get_logger()


class Measure:
    """Counts requests by method, route template and class of status."""

    def __init__(self, app: ASGIApp, meters: Meters, templates: Mapping[object, str]) -> None:
        self._app = app
        self._meters = meters
        self._templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            return await self._app(scope, receive, noting)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = self._templates.get(scope.get("endpoint"), "none")
            self._meters.requests.labels(method, route, f"{status // 100}xx").inc()


class AddHeaders:
    """Adds `SAFE_HEADERS` to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        return await self._app(scope, receive, adding)


class Recover:
    """Answers 500 without internals for an error that nobody expected, and logs it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        is_started = False

        async def noting(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            return await self._app(scope, receive, noting)
        except Exception:
            log.exception("request failed", method=scope["method"], path=scope["path"])
            if is_started:
                raise  # the server breaks the connection off, so that nobody takes a part for the whole
            problem = Problem("internal_error", "something went wrong here; it has been logged")
            return await problems.answer(500, [problem])(scope, receive, send)


class HostGuard:
    """Without tokens, only the names in `allowed_hosts` are answered, and no page of another site may post.

    A page somewhere on the web can let its visitor's browser post to the visitor's own machine, or give
    the machine a name of its own (DNS rebinding): the headers Origin and Host tell.
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "*" in self._allowed or scope["path"] in PROBES:
            return await self._app(scope, receive, send)
        problem = self._problem(scope["method"], Headers(scope=scope))
        if problem is not None:
            return await problems.answer(403, [problem])(scope, receive, send)
        return await self._app(scope, receive, send)

    def _problem(self, method: str, headers: Headers) -> Problem | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_name(hosts[0]) not in self._allowed:
            return Problem(
                "host_not_allowed",
                "this server does not answer to this name; IMAGEBATCH_ALLOWED_HOSTS lists those it has",
            )
        origins = headers.getlist("origin")
        if method not in SAFE_METHODS and any(not _is_same_site(origin, hosts[0]) for origin in origins):
            return Problem("foreign_origin", "pages of other sites may not send requests here")
        return None


def host_name(host: str) -> str:
    """The name in a Host header, lower case, without its port; IPv6 stays in brackets."""
    name, colon, port = host.strip().lower().rpartition(":")
    return name if colon and port.isdigit() else host.strip().lower()


def _is_same_site(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == host.strip().lower()
