"""What stands around every request: counting, safe headers, a last resort for errors, and who may ask.

Plain ASGI. `imagebatch_api.app` puts them together, outermost first.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagebatch.errors import Problem
from imagebatch_api import problems
from imagebatch_api.metrics import Metrics
from imagebatch_api.tokens import TokenFile

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that say nothing worth hiding, asked by probes that know only an address."""

METRICS = "/metrics"
OPEN_PATHS = PROBES | {METRICS, "/openapi.json", "/"}
"""Paths that need no token: nothing on them is anybody's. The page asks for the token itself."""

PAGE = "/page/"
"""Where pages for people are. Without a token they show nothing but the field for one."""

OWNER = "imagebatch.owner"
"""Where in the ASGI scope the name of the presented token is; absent where no tokens are asked for."""

SAFE_HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}

log = structlog.get_logger()


class Measure:
    """Counts requests by method, route template and class of status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, templates: Mapping[object, str]) -> None:
        self._app = app
        self._metrics = metrics
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
            self._metrics.requests.labels(method, route, f"{status // 100}xx").inc()


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


class HeaderLimit:
    """Refuses a request line and headers that are too long together, in bytes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _head_bytes(scope) <= self._max_bytes:
            return await self._app(scope, receive, send)
        problem = Problem(
            "headers_too_large",
            f"URL and headers may have {self._max_bytes} bytes together; send fields in the form instead",
        )
        return await problems.answer(431, [problem])(scope, receive, send)


def _head_bytes(scope: Scope) -> int:
    """About as many bytes as came; the few around each header are not counted."""
    target = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) for name, value in scope["headers"])


class TokenGuard:
    """Lets only requests with a token pass, except to `OPEN_PATHS`, and records whose it is (RFC 6750).

    Neither answers nor logs ever repeat what was presented.
    """

    def __init__(self, app: ASGIApp, tokens: TokenFile) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        token = bearer_token(headers)
        if token is None and "authorization" not in headers and _looks_at_page(scope):
            return await self._app(scope, receive, send)
        if token is None:
            return await _unauthorized(_MISSING, REALM)(scope, receive, send)
        owner = self._tokens.owner_of(token)
        if owner is None:
            return await _unauthorized(_UNKNOWN, f'{REALM}, error="invalid_token"')(scope, receive, send)
        scope[OWNER] = owner
        return await self._app(scope, receive, send)


def _looks_at_page(scope: Scope) -> bool:
    """Whether a browser opens a page: it can't be told to add a token, which the page's script does then."""
    return scope["method"] in {"GET", "HEAD"} and scope["path"].startswith(PAGE)


REALM = 'Bearer realm="imagebatch"'
_MISSING = Problem("missing_token", "this server asks for a token; send it as: Authorization: Bearer TOKEN")
_UNKNOWN = Problem("unknown_token", "this token is not, or no longer, one of this server's")
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)


def bearer_token(headers: Headers) -> str | None:
    """The token that is presented; None when there is none, or more than one header for it."""
    found = [_BEARER.fullmatch(value) for value in headers.getlist("authorization")]
    return found[0][1] if len(found) == 1 and found[0] is not None else None


def _unauthorized(problem: Problem, challenge: str) -> problems.ProblemResponse:
    return problems.answer(401, [problem], {"WWW-Authenticate": challenge})


class HostGuard:
    """Only requests to the names in `allowed` are answered, and no page of another site may post.

    A page somewhere on the web can make its visitor's browser post to the visitor's own machine, or give the
    machine a name of its own (DNS rebinding): the headers Host, Origin and Sec-Fetch-Site show it. With
    tokens it is a second wall, for no browser adds a token by itself.
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "*" in self._allowed or scope["path"] in PROBES:
            return await self._app(scope, receive, send)
        problem = self._problem(scope["method"], scope["path"], Headers(scope=scope))
        if problem is not None:
            return await problems.answer(403, [problem])(scope, receive, send)
        return await self._app(scope, receive, send)

    def _problem(self, method: str, path: str, headers: Headers) -> Problem | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._answers_to(host_name(hosts[0]), path):
            return Problem(
                "host_not_allowed",
                "this server does not answer to this name; IMAGEBATCH_ALLOWED_HOSTS lists those it has",
            )
        if method not in SAFE_METHODS and _is_foreign(headers, hosts[0]):
            return Problem("foreign_origin", "pages of other sites may not send requests here")
        return None

    def _answers_to(self, name: str, path: str) -> bool:
        """Prometheus asks each pod by its address, which no page can get into a Host header by DNS."""
        return name in self._allowed or (path == METRICS and _is_address(name))


def host_name(host: str) -> str:
    """The name in a Host header, lower case, without its port; IPv6 stays in brackets."""
    name, colon, port = host.strip().lower().rpartition(":")
    return name if colon and port.isascii() and port.isdigit() else host.strip().lower()


def _is_address(name: str) -> bool:
    """Whether a host's name is an IPv4 address, or an IPv6 one in brackets."""
    is_bracketed = name.startswith("[") and name.endswith("]")
    try:
        return ip_address(name.strip("[]")).version == (6 if is_bracketed else 4)
    except ValueError:
        return False


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that a page of another site, or of another port, sends this."""
    sites = headers.getlist("sec-fetch-site")
    if any(site not in {"same-origin", "none"} for site in sites):
        return True
    return any(not _is_same_origin(origin, host) for origin in headers.getlist("origin"))


def _is_same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == host.strip().lower()
