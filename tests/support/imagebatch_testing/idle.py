"""What the local system does when there is nothing to do: statements, S3 requests, CPU."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from imagebatch_testing.cluster.relay import Relay, relaying
from imagebatch_testing.local import Up
from imagebatch_testing.postgres_proxy import PostgresProxy, before
from imagebatch_testing.servers import Servers

OTHER_LOOPBACK = "127.0.0.2"
"""Where the relay before S3 listens, on the port that S3 has on 127.0.0.1."""

SETTLE_S = 5.0


@dataclass(frozen=True)
class Idle:
    """What happened while nothing was to do."""

    seconds: float
    statements: int
    s3_requests: int
    cpu: Mapping[str, float]
    """Program with its children, or container -> part of one core."""

    api_requests: Mapping[str, int] | None = None
    """Who asked Kubernetes how often, watches aside; None where nobody counts it."""


@dataclass(frozen=True)
class Watched:
    """A local system on servers of its own, with what stands before them."""

    up: Up
    postgres: PostgresProxy
    s3: Relay


@asynccontextmanager
async def watched(servers: Servers, folder: Path) -> AsyncIterator[Watched]:
    """`imagebatch up` on these servers, seen through proxies. `folder` is to be short, for it holds a socket."""
    s3, database = servers.s3, servers.database.database_url.get_secret_value()
    port = int(s3.s3_endpoint.rpartition(":")[2])
    with relaying(OTHER_LOOPBACK, port) as relay:
        async with before(database, folder) as proxy:
            settings = {
                "DATABASE_URL": proxy.url,
                "IMAGEBATCH_S3_ENDPOINT": relay.url(),
                "IMAGEBATCH_S3_BUCKET": s3.s3_bucket,
                "IMAGEBATCH_S3_ACCESS_KEY": s3.s3_access_key,
                "IMAGEBATCH_S3_SECRET_KEY": s3.s3_secret_key.get_secret_value(),
                "IMAGEBATCH_S3_ADDRESSING": "path",
            }
            async with Up(folder / "data", **settings) as up:
                yield Watched(up, proxy, relay)


async def measure(system: Watched, seconds: float) -> Idle:
    """Do nothing for so long, after a moment in which the start is over."""
    await asyncio.sleep(SETTLE_S)
    programs = {_kind(one): one for one in [system.up.family()[0], *_servers(system.postgres.behind)]}
    before_cpu = {name: _cpu(one) for name, one in programs.items()}
    statements, requests, began = len(system.postgres.statements), system.s3.requests, time.monotonic()
    await asyncio.sleep(seconds)
    lasted = time.monotonic() - began
    return Idle(
        seconds=lasted,
        statements=len(system.postgres.statements) - statements,
        s3_requests=system.s3.requests - requests,
        cpu={name: (_cpu(one) - before_cpu[name]) / lasted for name, one in programs.items()},
    )


def _servers(sockets: Path) -> list[psutil.Process]:
    """Postgres and S3 whose sockets are in this folder; a suite may have others too."""
    return [one for one in psutil.Process().children() if str(sockets) in " ".join(one.cmdline())]


def _kind(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    return next((name for name in ("imagebatch_cli", "postgres", "weed") if name in words), process.name())


def _cpu(program: psutil.Process) -> float:
    """Seconds of CPU of a program and its children, those included that have ended."""
    times = program.cpu_times()
    living = sum(map(_own_cpu, program.children(recursive=True)))
    return float(times.user + times.system + times.children_user + times.children_system + living)


def _own_cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # it ended just now; its parent has the sum
        return 0.0
    return float(times.user + times.system)
