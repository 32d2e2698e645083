"""`imagebatch up` and a shop whose pictures come at once, never, or when a test lets them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imagebatch_testing.local import Up, csv_of, picture
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.web import Handler, Page, Web, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Running:
    """A system that runs, on `data`, and a shop that it may download from."""

    up: Up
    data: Path
    shop: Web
    receiver: Receiver
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.up.port}"

    def csv(self, good: int = 1, missing: int = 0) -> bytes:
        """A CSV of its own with so many pictures that are there, and that are not."""
        number = next(self._numbers)
        paths = [f"/good/{number}-{each}.jpg" for each in range(good)]
        self.shop.routes.update({path: Page(picture(each)) for each, path in enumerate(paths)})
        gone = [f"/missing/{number}-{each}.jpg" for each in range(missing)]
        return csv_of([[self.shop.url(path)] for path in (*paths, *gone)])

    def held_csv(self, good: int = 1) -> tuple[bytes, asyncio.Event]:
        """A CSV with one more picture, the first, which comes when the event is set."""
        path, may_come = f"/held/{next(self._numbers)}.jpg", asyncio.Event()
        self.shop.routes[path] = _held(may_come)
        table = self.csv(good)
        head, _, rows = table.partition(b"\n")
        return b"\n".join([head, f"0,Held,{self.shop.url(path)}".encode(), rows]), may_come


def _held(may_come: asyncio.Event) -> Handler:
    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_come.wait()
        body = picture(7)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return handle


@asynccontextmanager
async def running(folder: Path, **settings: str) -> AsyncIterator[Running]:
    """Start all of it on an empty folder."""
    opened = {"IMAGEBATCH_ALLOWED_NETWORKS": "127.0.0.1/32", "IMAGEBATCH_WEBHOOK_SECRET": SECRET}
    async with (
        serving() as shop,
        Receiver() as receiver,
        Up(folder / "data", **{**opened, **settings}) as up,
    ):
        yield Running(up, folder / "data", shop, receiver)
