"""The cookies of one chain of redirects, kept as long as the chain.

Some hosts set a cookie and redirect to the same link until they get it back. So the cookies that the answers
of a chain set are sent with its next requests; no other image's requests see them. Used by the jobrunner's
`fetch`, which follows redirects itself.
"""

from dataclasses import dataclass
from ipaddress import ip_address

import httpx

MAX_COOKIES = 20
"""RFC 2109 section 6.3 asks clients to keep this many of a host."""

MAX_BYTES = 4096
"""Of all cookies of a chain; RFC 2109 asks as much for each. Those that do not fit are dropped."""


@dataclass(frozen=True, slots=True)
class _Cookie:
    domain: str
    is_host_only: bool
    path: str
    is_secure: bool
    pair: str


class ChainCookies:
    """Reads Set-Cookie and writes Cookie (RFC 6265, without dates: a chain ends before they matter)."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def take(self, response: httpx.Response) -> None:
        """Remember what an answer sets."""
        for line in response.headers.get_list("Set-Cookie"):
            self._set(line, response.request.url)

    def send(self, request: httpx.Request) -> None:
        """Set the request's Cookie to what belongs to its URL; a Cookie that it had is removed."""
        request.headers.pop("Cookie", None)
        pairs = [cookie.pair for cookie in self._cookies.values() if _belongs(cookie, request.url)]
        if pairs:
            request.headers["Cookie"] = "; ".join(pairs)

    def _set(self, line: str, url: httpx.URL) -> None:
        pair, _, rest = line.partition(";")
        name, equals, _ = pair.partition("=")
        pair, name = pair.strip(), name.strip()
        if not equals or not name or not pair.isascii() or not pair.isprintable():
            return
        cookie = _cookie(pair, _attributes(rest), url)
        if cookie is None:
            return
        key = (cookie.domain, cookie.path, name)
        self._cookies.pop(key, None)
        if not _is_removal(_attributes(rest)) and self._has_room(pair):
            self._cookies[key] = cookie

    def _has_room(self, pair: str) -> bool:
        size = sum(len(cookie.pair) for cookie in self._cookies.values())
        return len(self._cookies) < MAX_COOKIES and size + len(pair) <= MAX_BYTES


def _attributes(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def _is_removal(attributes: dict[str, str]) -> bool:
    age = attributes.get("max-age", "")
    return age.startswith("-") or age == "0"


def _cookie(pair: str, attributes: dict[str, str], url: httpx.URL) -> _Cookie | None:
    """None for a cookie that is set for another host, or for a whole top-level domain."""
    host, domain = url.host.lower(), attributes.get("domain", "").lstrip(".").lower()
    if domain and domain != host and ("." not in domain or not _is_under(host, domain)):
        return None
    path = attributes.get("path", "")
    return _Cookie(
        domain=domain or host,
        is_host_only=not domain or (domain == host and _is_address(host)),
        path=path if path.startswith("/") else url.path.rpartition("/")[0] or "/",
        is_secure="secure" in attributes,
        pair=pair,
    )


def _belongs(cookie: _Cookie, url: httpx.URL) -> bool:
    host, path = url.host.lower(), url.path or "/"
    is_its_host = host == cookie.domain or (not cookie.is_host_only and _is_under(host, cookie.domain))
    is_its_path = path == cookie.path or path.startswith(cookie.path.rstrip("/") + "/")
    return is_its_host and is_its_path and (url.scheme == "https" or not cookie.is_secure)


def _is_under(host: str, domain: str) -> bool:
    return host.endswith(f".{domain}") and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
