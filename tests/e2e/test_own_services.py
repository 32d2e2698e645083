"""The user's own S3 and Postgres, chosen by the environment, in place of the embedded ones."""

import json
from pathlib import Path

import asyncpg
import httpx
import pytest

from imagebatch import settings
from imagebatch.storage.s3 import S3Store
from imagebatch_testing.local import csv_of, imagebatch, picture
from imagebatch_testing.servers import Servers
from imagebatch_testing.web import Page, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


def own(servers: Servers, **extra: str) -> dict[str, str]:
    return {**settings.as_env(servers.s3), **settings.as_env(servers.database), **extra}


@pytest.mark.parametrize("links", ["public", "presigned"])
async def test_they_are_used_and_nothing_is_embedded(tmp_path: Path, servers: Servers, links: str) -> None:
    source = tmp_path / "p.csv"
    async with serving({"/1.jpg": Page(picture(1))}) as shop:
        source.write_bytes(csv_of([[shop.url("/1.jpg")]]))
        ended = await imagebatch(
            "run", source, "--data", tmp_path / "data", "--output", tmp_path / "o.csv", "--json",
            **own(
                servers,
                IMAGEBATCH_ALLOWED_NETWORKS=f"127.0.0.1/32:{shop.port}",
                IMAGEBATCH_S3_LINKS=links,
            ),
        )  # fmt: skip
    assert ended.code == 0, ended.stderr
    status = json.loads(ended.stdout)
    assert not (tmp_path / "data" / "postgres").exists()
    assert status["output_csv"].startswith(servers.s3.s3_endpoint)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(status["output_csv"])).is_success
    connection = await asyncpg.connect(servers.database.database_url.get_secret_value())
    found = await connection.fetchval(
        "SELECT status FROM processing_requests WHERE request_id = $1", status["request_id"]
    )
    await connection.close()
    assert found == "complete"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}, "Postgres can't be reached"),
        ({"IMAGEBATCH_S3_ACCESS_KEY": "stranger"}, "InvalidAccessKeyId"),
        ({"IMAGEBATCH_S3_LINKS": "secret"}, "IMAGEBATCH_S3_LINKS"),
        ({"IMAGEBATCH_ALLOWED_NETWORKS": "here"}, "IMAGEBATCH_ALLOWED_NETWORKS"),
        ({"IMAGEBATCH_WEBHOOK_SECRET": "short"}, "IMAGEBATCH_WEBHOOK_SECRET"),
    ],
    ids=["postgres", "s3 keys", "s3 links", "networks", "webhook secret"],
)
async def test_what_is_wrong_is_said_at_the_start(
    tmp_path: Path, servers: Servers, extra: dict[str, str], said: str
) -> None:
    ended = await imagebatch("up", "--data", tmp_path / "data", **own(servers, **extra))
    assert ended.code == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_bucket_that_strangers_cant_read_is_told_with_its_cure(
    tmp_path: Path, servers: Servers
) -> None:
    store = S3Store(servers.s3)
    store._client.delete_bucket_policy(servers.s3.s3_bucket)
    try:
        ended = await imagebatch("up", "--data", tmp_path / "data", **own(servers))
    finally:
        store.create_bucket()
        store.close()
    assert ended.code == 1
    assert '"Action": [' in ended.stderr
    assert "IMAGEBATCH_S3_LINKS=presigned" in ended.stderr
