"""A shop for cluster tests: pictures, a gate that holds them back, and a mailbox for webhooks.

It runs in threads, so that tests can wait for kubectl meanwhile.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from imagebatch_testing.local import picture

GATE_S = 45.0
PICTURES = 5


@dataclass(frozen=True)
class Hook:
    """A webhook as it came."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Shop:
    """Serves `/p/ANY.jpg` at once and `/gated/ANY.jpg` once `gate` is set; and `files`, by path."""

    host: str
    port: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    files: dict[str, bytes] = field(default_factory=dict)
    hooks: dict[str, list[Hook]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    pictures: list[bytes] = field(default_factory=lambda: [picture(seed) for seed in range(PICTURES)])

    def url(self, path: str) -> str:
        return f"http://{self.host}:{self.port}{path}"

    def picture(self, path: str) -> bytes | None:
        """What a path shows; every name of theirs with a number in it has one of the pictures."""
        stem = path.rpartition("/")[2] if path.startswith(("/p/", "/gated/")) or "://" in path else ""
        digits = "".join(filter(str.isdigit, stem))
        return self.pictures[int(digits) % PICTURES] if digits else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def shop(self) -> Shop:
        return cast("_Server", self.server).shop

    def do_GET(self) -> None:
        self.shop.requests[self.path] += 1
        if self.path.startswith("/gated/"):
            self.shop.gate.wait(GATE_S)
        found = self.shop.files.get(self.path) or self.shop.picture(self.path)
        self._answer(404 if found is None else 200, found or b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.shop.hooks.setdefault(self.path, []).append(Hook(headers, body))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: pytest shows what matters."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            return  # a client that was killed


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        super().__init__((shop.host, 0), _Handler)


@contextmanager
def open_shop(host: str) -> Iterator[Shop]:
    """Serve on an address that pods reach, until the block ends."""
    shop = Shop(host)
    server = _Server(shop)
    shop.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="shop", daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        shop.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
