"""CPU of the client process for a guarded GET, beside stock httpx: the same client over httpcore.

The server is a process of its own and answers a picture-sized body on kept connections. The two transports
take turns; what is printed are medians over the rounds, and the CPU is user and system time of this
process. Usage: download.py [CONNECTIONS …]
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy

BODY_BYTES = 260_000
CONNECTIONS = (20, 200)
GETS_PER_CONNECTION = 5
ROUNDS = 7
TIMEOUT = httpx.Timeout(60)

OpenClient = Callable[[int], httpx.AsyncClient]


def guarded(connections: int) -> httpx.AsyncClient:
    return transport.client(AddressPolicy.parse("127.0.0.1/32"), connections=connections, timeout=TIMEOUT)


def stock(connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(limits=limits, trust_env=False), timeout=TIMEOUT, trust_env=False
    )


CLIENTS: dict[str, OpenClient] = {"guarded": guarded, "stock httpx": stock}


def main() -> None:
    if sys.argv[1:2] == ["--server"]:
        asyncio.run(serve())
        return
    measure([int(argument) for argument in sys.argv[1:]] or list(CONNECTIONS))


def measure(all_connections: list[int]) -> None:
    print(f"{BODY_BYTES} bytes over loopback, {ROUNDS} rounds in turn, {os.cpu_count()} cores")
    print(f"{'connections':>11}  {'client':<12} {'CPU ms a GET':>12} {'min':>6} {'max':>6} {'wall ms':>8}")
    with served() as url:
        for connections in all_connections:
            asyncio.run(compare(url, connections))


async def compare(url: str, connections: int) -> None:
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
    for _ in range(ROUNDS):
        for name, opened in CLIENTS.items():
            costs[name].append(await cost(opened, url, connections))
    for name, rounds in costs.items():
        cpu = [milliseconds for milliseconds, _ in rounds]
        wall = statistics.median(milliseconds for _, milliseconds in rounds)
        print(
            f"{connections:>11}  {name:<12} {statistics.median(cpu):>12.2f} {min(cpu):>6.2f} "
            f"{max(cpu):>6.2f} {wall:>8.2f}"
        )


async def cost(opened: OpenClient, url: str, connections: int) -> tuple[float, float]:
    """CPU and wall milliseconds a GET, once all connections are open."""
    async with opened(connections) as client:
        await asyncio.gather(*(get(client, url) for _ in range(connections)))
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(several(client, url) for _ in range(connections)))
        spent = time.process_time() - cpu, time.perf_counter() - wall
    gets = connections * GETS_PER_CONNECTION
    return spent[0] / gets * 1000, spent[1] / gets * 1000


async def several(client: httpx.AsyncClient, url: str) -> None:
    for _ in range(GETS_PER_CONNECTION):
        await get(client, url)


async def get(client: httpx.AsyncClient, url: str) -> None:
    size = 0
    async with client.stream("GET", url) as response:
        async for piece in response.aiter_raw():
            size += len(piece)
    assert size == BODY_BYTES, size


@contextmanager
def served() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, __file__, "--server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/picture.jpg"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Server(asyncio.Protocol):
    """Answers each request, whatever it asks for."""

    ANSWER = (
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES
        + bytes(BODY_BYTES)
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(self.ANSWER)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main()
