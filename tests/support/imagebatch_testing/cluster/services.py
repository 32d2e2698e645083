"""Postgres and S3 for a cluster: the embedded ones of this machine, which pods reach through relays."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from imagebatch.settings import S3Settings
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.postgres import ROLE, EmbeddedPostgres
from imagebatch_cli.processes import Program
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_testing.cluster.relay import Relay, relaying
from imagebatch_testing.tied import tied

SOCKET = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class Services:
    """Both, fresh: a database without tables, an S3 without buckets. The relays can be cut and mended."""

    postgres: Relay
    s3: Relay
    local_database_url: str
    """For tests; pods use `database_url`."""

    s3_settings: S3Settings
    """Right for tests and for pods alike, for S3 signs the address by which it is reached."""

    @property
    def database_url(self) -> str:
        return f"postgresql://{ROLE}@{self.postgres.address}/postgres"


@contextmanager
def services(path: Path, host: str) -> Iterator[Services]:
    """Both services on a folder, and under an address that pods know."""
    folder = DataFolder(path)
    with folder.locked():
        postgres, s3 = EmbeddedPostgres(folder), EmbeddedS3(folder, folder.prepare())
        for service in (postgres.service, s3.service):
            service.program = _ending_with_us(service.program)
        s3_port = int(s3.settings.s3_endpoint.rpartition(":")[2])
        try:
            asyncio.run(_start(postgres, s3))
            with (
                relaying(host, 0, folder.sockets / SOCKET) as to_postgres,
                relaying(host, s3_port) as to_s3,
            ):
                settings = s3.settings.model_copy(update={"s3_endpoint": to_s3.url()})
                yield Services(to_postgres, to_s3, postgres.url, settings)
        finally:
            asyncio.run(_stop(postgres, s3))


def _ending_with_us(program: Program) -> Program:
    return replace(program, command=tied(program.command))


async def _start(postgres: EmbeddedPostgres, s3: EmbeddedS3) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(postgres.start())
        group.create_task(s3.start())


async def _stop(postgres: EmbeddedPostgres, s3: EmbeddedS3) -> None:
    await s3.stop()
    await postgres.service.stop()
