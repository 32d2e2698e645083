"""What the transport takes from an httpx request: the bytes to send, and how long each step may take.

`imagebatch.net.transport` makes both, `exchange` passes them on, `pool` and `connection` read them.
"""

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The four of httpx, in seconds; None is no limit."""

    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None

    @classmethod
    def of(cls, request: httpx.Request) -> "Timeouts":
        return cls(**request.extensions.get("timeout", {}))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as `connection` sends it. `target` is the path and the query, as the first line has them."""

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | AsyncIterable[bytes] = b""

    @classmethod
    def of(cls, request: httpx.Request) -> "Outgoing":
        assert isinstance(request.stream, AsyncIterable)
        try:
            body: bytes | AsyncIterable[bytes] = request.content
        except httpx.RequestNotRead:
            body = request.stream
        return cls(request.method, request.url.raw_path, request.headers.raw, body)
