"""What an idle local system costs: statements, S3 requests and CPU over a time in which nothing is to do.

python benchmarks/idle.py [SECONDS]
"""

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from imagebatch import migrations
from imagebatch.s3 import S3Store
from imagebatch.settings import DatabaseSettings
from imagebatch_cli.folder import DataFolder
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_testing.idle import Idle, measure, watched
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


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(idle(Path(folder), seconds))
    print(f"{found.seconds:.0f} s idle")
    print(f"SQL statements  {found.statements / found.seconds:.2f} a second")
    print(f"S3 requests     {found.s3_requests / found.seconds:.2f} a second")
    for name, share in sorted(found.cpu.items(), key=lambda entry: -entry[1]):
        print(f"{share:8.2%} of a core  {name}")


if __name__ == "__main__":
    main()
