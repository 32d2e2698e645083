"""Pages of a test's web server that answer when the test wants it."""

import asyncio

from imagebatch_testing.local import picture
from imagebatch_testing.web import Handler


class Gate:
    """Lets the images below a number through; who asks for others waits until it is opened for them."""

    def __init__(self) -> None:
        self._open_below = 0
        self._opened = asyncio.Condition()

    async def open(self, below: int) -> None:
        async with self._opened:
            self._open_below = below
            self._opened.notify_all()

    def page(self, number: int) -> Handler:
        body = picture(number)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async with self._opened:
                await self._opened.wait_for(lambda: number < self._open_below)
            writer.write(head + body)
            await writer.drain()

        return answer
