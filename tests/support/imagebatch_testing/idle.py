"""What the local system does when there is nothing to do: statements, S3 requests, CPU of each process."""

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
    """What happened while nothing was to do, and CPU as a part of one core by process."""

    seconds: float
    statements: int
    s3_requests: int
    cpu: Mapping[str, float]


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
    processes = {_name(one): one for one in [*system.up.family(), *_servers()]}
    before_cpu = {name: _cpu(one) for name, one in processes.items()}
    statements, requests, began = len(system.postgres.statements), system.s3.requests, time.monotonic()
    await asyncio.sleep(seconds)
    lasted = time.monotonic() - began
    return Idle(
        seconds=lasted,
        statements=len(system.postgres.statements) - statements,
        s3_requests=system.s3.requests - requests,
        cpu={name: (_cpu(one) - before_cpu[name]) / lasted for name, one in processes.items()},
    )


def _servers() -> list[psutil.Process]:
    """Postgres and S3, which the suite or the benchmark started."""
    children = psutil.Process().children(recursive=True)
    return [one for one in children if _kind(one) in {"postgres", "weed"}]


def _name(process: psutil.Process) -> str:
    return f"{_kind(process)} {process.pid}"


def _kind(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    return next((name for name in ("imagebatch_cli", "postgres", "weed") if name in words), process.name())


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
