"""The shop of examples/ on a test's web server, whose pictures can be held back."""

import asyncio
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path

from imagebatch_testing.web import Handler, Page, Web

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
EXAMPLES_HOST = "127.0.0.1:8091"


@dataclass
class Hold:
    """Lets so many pictures through, and all once it is let go."""

    _room: asyncio.Semaphore
    _all: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def after(cls, pictures: int) -> "Hold":
        return cls(asyncio.Semaphore(pictures))

    def let_through(self, pictures: int) -> None:
        for _ in range(pictures):
            self._room.release()

    def let_go(self) -> None:
        self._all.set()
        self.let_through(1000)

    async def passed(self) -> None:
        if not self._all.is_set():
            await self._room.acquire()


def open_on(shop: Web, hold: Hold | None = None, under: str = "") -> bytes:
    """Serve the example pictures under a path; returns the example CSV with links to them."""
    for path in (EXAMPLES / "images").rglob("*"):
        if path.is_file():
            name = f"{under}/{path.relative_to(EXAMPLES / 'images').as_posix()}"
            body, media_type = path.read_bytes(), mimetypes.guess_type(path.name)[0] or ""
            page = Page(body, headers={"Content-Type": media_type})
            shop.routes[name] = page if hold is None else _held(page, hold)
    return (
        (EXAMPLES / "products.csv")
        .read_bytes()
        .replace(EXAMPLES_HOST.encode(), f"{shop.host}{under}".encode())
    )


def _held(page: Page, hold: Hold) -> Handler:
    """A page whose answer waits; the connection ends with it."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hold.passed()
        kind = page.headers["Content-Type"]
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(page.body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + page.body)
        await writer.drain()

    return handle
