"""Requests to S3 that are signed here: where an object is, and AWS's Signature Version 4.

Used by `s3_direct`. The SDK derives the day's key anew for each request, and takes a fifth of a second to
import. Tests hold these requests against the SDK's own. Only the SDK knows AWS's special hosts: for those
`place_of` returns None.
"""

import hmac
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256
from urllib.parse import quote, urlsplit

from imagebatch.settings import S3Settings

AWS = "s3.amazonaws.com"
_SPECIAL_HOSTS = ("amazonaws.com", "amazonaws.com.cn", "aliyuncs.com")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ALGORITHM = "AWS4-HMAC-SHA256"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bucket is: `netloc` is what the Host header says, `path` comes before a key's slash."""

    scheme: str
    netloc: str
    path: str
    region: str


def place_of(settings: S3Settings) -> Place | None:
    """The bucket's place as far as plain rules know it; None where the SDK has to be asked."""
    url = urlsplit(settings.s3_endpoint)
    bucket, region, host = settings.s3_bucket, settings.s3_region, url.hostname or ""
    is_plain = url.scheme in _PORTS and url.path in {"", "/"} and url.netloc.lower() == url.netloc
    has_its_port = url.netloc.endswith(f":{_PORTS.get(url.scheme, 0)}")
    are_names = _NAME.fullmatch(bucket) and _NAME.fullmatch(region)
    if not is_plain or not host or "@" in url.netloc or has_its_port or not are_names:
        return None
    if url.netloc == AWS and url.scheme == "https" and settings.s3_addressing != "path":
        return Place(url.scheme, f"{bucket}.s3.{region}.amazonaws.com", "", region)
    if host.endswith(_SPECIAL_HOSTS):
        return None
    if settings.s3_addressing == "virtual":
        return Place(url.scheme, f"{bucket}.{url.netloc}", "", region)
    return Place(url.scheme, url.netloc, f"/{bucket}", region)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs requests."""

    access_key: str
    secret_key: str
    session_token: str = ""
    is_expired: Callable[[], bool] = lambda: False


def identity_of(settings: S3Settings) -> Identity | None:
    """That of the settings; None where the AWS chain has to be asked."""
    if not settings.s3_access_key:
        return None
    return Identity(
        settings.s3_access_key,
        settings.s3_secret_key.get_secret_value(),
        settings.s3_session_token.get_secret_value(),
    )


class Signer:
    """Signs for one identity in one place. Does no I/O."""

    def __init__(self, place: Place, identity: Identity) -> None:
        self._place = place
        self._identity = identity
        self._day = ""
        self._scope = ""
        self._key = b""

    def head(self, method: str, key: str, headers: Mapping[str, str], body: bytes, at: float) -> bytes:
        """The request as it is sent, but for its body. Names in `headers` are in small letters."""
        path = f"{self._place.path}/{quote(key)}"
        payload, every = self._bound(body)
        every |= headers
        every["host"] = self._place.netloc
        every["x-amz-date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        if body:
            every["content-length"] = str(len(body))
        if self._identity.session_token:
            every["x-amz-security-token"] = self._identity.session_token
        lines = [f"{name}:{every[name]}" for name in sorted(every)]
        names = ";".join(sorted(every))
        request = "\n".join([method, path, "", *lines, "", names, payload])
        authorization = self._authorization(request, names, every["x-amz-date"])
        lines += ["user-agent:ImageBatch", f"authorization:{authorization}"]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()

    def _bound(self, body: bytes) -> tuple[str, dict[str, str]]:
        """How the signature covers the body, and the headers that say so; under TLS it does not, for TLS
        does.
        """
        if self._place.scheme == "https":
            digest = b64encode(md5(body, usedforsecurity=False).digest()).decode()
            checked = {"content-md5": digest} if body else {}
            return "UNSIGNED-PAYLOAD", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", **checked}
        payload = sha256(body).hexdigest()
        return payload, {"x-amz-content-sha256": payload}

    def _authorization(self, request: str, names: str, date: str) -> str:
        if date[:8] != self._day:
            self._begin_day(date[:8])
        text = f"{_ALGORITHM}\n{date}\n{self._scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        credential = f"{self._identity.access_key}/{self._scope}"
        return f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"

    def _begin_day(self, day: str) -> None:
        self._day = day
        self._scope = f"{day}/{self._place.region}/s3/aws4_request"
        self._key = f"AWS4{self._identity.secret_key}".encode()
        for part in self._scope.split("/"):
            self._key = hmac.digest(self._key, part.encode(), "sha256")


def head_of_link(link: str) -> bytes:
    """The request for a link that is signed already; Range and the empty line are to be added."""
    url = urlsplit(link)
    return f"GET {url.path}?{url.query} HTTP/1.1\r\nhost:{url.netloc}\r\n".encode()
