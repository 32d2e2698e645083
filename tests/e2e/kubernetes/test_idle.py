"""An installation with nothing to do does nothing, and little for a small batch."""

import asyncio
import time
from pathlib import Path

import pytest

from imagebatch_testing.cluster_idle import counted, measure, requests_between
from imagebatch_testing.installation import Installation
from imagebatch_testing.local import csv_of
from imagebatch_testing.shop import Shop

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

SECONDS = 60.0
"""The kubelet looks at a container every 10 to 20 seconds."""

SHARE_OF_A_CORE = 0.005
API_REQUESTS_A_SECOND = 0.2

WRITES = 6
"""The row, its plan, three phases, its end with the webhook; deliveries of other tests may be due meanwhile."""

STATEMENTS = 10
"""Eight in a test without nodes; here a delivery of another test may be due meanwhile."""


def is_read(statement: str) -> bool:
    return statement.lstrip().startswith("SELECT")


def run_a_batch(installation: Installation, shop: Shop) -> None:
    installation.apply(
        "before-idle",
        {"inline": csv_of([[shop.url("/p/1.jpg")]]).decode()},
        webhook={"url": shop.url("/hook/before-idle")},
    )
    installation.until_phase("before-idle", "Complete")
    installation.delivered(shop, "/hook/before-idle")


async def test_an_idle_installation_asks_nobody_anything(
    installation: Installation, shop: Shop, tmp_path: Path
) -> None:
    installation.kubectl("delete", "ib", "--all", "--wait=true", "--timeout=60s")
    async with counted(installation, tmp_path) as postgres:
        began, before = time.time(), len(postgres.statements)
        await asyncio.to_thread(run_a_batch, installation, shop)
        of_batch = [words for words in postgres.statements[before:] if words != "SELECT 1"]
        asked_before = requests_between(installation, began, time.time())
        idle = await measure(installation, postgres, SECONDS)
    writes = [words for words in of_batch if "processing_requests" in words and not is_read(words)]
    assert len(writes) <= WRITES, writes
    assert len(writes) < len(of_batch) <= STATEMENTS, of_batch
    assert idle.statements <= idle.seconds, postgres.statements[-idle.statements :]
    assert idle.s3_requests == 0
    assert asked_before != {}, "all requests are counted"
    asked = idle.api_requests or {}
    assert sum(asked.values()) <= API_REQUESTS_A_SECOND * idle.seconds, asked
    assert idle.cpu.keys() == {"api", "operator"}
    assert not {name: share for name, share in idle.cpu.items() if share > SHARE_OF_A_CORE}
