"""What an idle system costs: statements, S3 requests, requests to Kubernetes and CPU while nothing is to do.

python benchmarks/idle.py [SECONDS]            `imagebatch up`
python benchmarks/idle.py [SECONDS] --cluster  the chart on a cluster (docs/testing.md)
"""

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from imagebatch import migrations
from imagebatch.settings import DatabaseSettings
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_testing import cluster_idle
from imagebatch_testing.cluster import choice
from imagebatch_testing.cluster.services import services
from imagebatch_testing.idle import Idle, measure, watched
from imagebatch_testing.installation import Installation, installed_alone
from imagebatch_testing.servers import Servers


async def idle(folder: Path, seconds: float) -> Idle:
    data = DataFolder(folder / "servers")
    with data.locked():
        postgres = EmbeddedPostgres(data)
        s3 = EmbeddedS3(data, data.prepare())
        await asyncio.gather(postgres.start(), s3.start())
        try:
            await migrations.upgrade(postgres.url)
            S3Store(s3.settings).create_bucket()
            servers = Servers(DatabaseSettings(DATABASE_URL=postgres.url), s3.settings)  # type: ignore[call-arg]
            async with watched(servers, folder) as system:
                return await measure(system, seconds)
        finally:
            await s3.stop()
            await postgres.service.stop()


def idle_on_cluster(folder: Path, seconds: float) -> Idle:
    with (
        choice.cluster() as cluster,
        services(folder / "services", cluster.host_address) as beside,
        installed_alone(cluster, beside) as installation,
    ):
        return asyncio.run(measured(installation, folder, seconds))


async def measured(installation: Installation, folder: Path, seconds: float) -> Idle:
    async with cluster_idle.counted(installation, folder) as postgres:
        return await cluster_idle.measure(installation, postgres, seconds)


def main() -> None:
    words = sys.argv[1:]
    seconds = next((float(word) for word in words if not word.startswith("-")), 60.0)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        on_cluster = "--cluster" in words
        found = idle_on_cluster(folder, seconds) if on_cluster else asyncio.run(idle(folder, seconds))
    print(f"{found.seconds:.0f} s idle")
    print(f"SQL statements  {found.statements / found.seconds:.2f} a second")
    print(f"S3 requests     {found.s3_requests / found.seconds:.2f} a second")
    if found.api_requests is not None:
        asked = sum(found.api_requests.values())
        print(f"API requests    {asked / found.seconds:.2f} a second {dict(found.api_requests) or ''}")
    for name, share in sorted(found.cpu.items(), key=lambda entry: -entry[1]):
        print(f"{share:8.2%} of a core  {name}")


if __name__ == "__main__":
    main()
