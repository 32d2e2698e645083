"""Two minutes of batches and kills; `make soak` takes fifteen, with 200 batches."""

import os
import random
from pathlib import Path

import psutil
import pytest

from imagebatch_testing.findings import Finding
from imagebatch_testing.local import Up, picture
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.soak import PICTURES, Findings, Soak
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Page, serving

SECONDS = float(os.environ.get("IMAGEBATCH_SOAK_SECONDS", "120"))
BATCHES = int(os.environ.get("IMAGEBATCH_SOAK_BATCHES", "60"))
MOST_KIB_A_BATCH = {"imagebatch": 128.0, "Postgres": 64.0}
"""What S3 keeps in memory grows with its objects, by its own index."""

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(int(SECONDS) * 3 + 900)]


async def test_all_batches_end_right_whatever_is_killed(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str], finding: Finding
) -> None:
    seed = int(os.environ.get("IMAGEBATCH_SOAK_SEED", random.randrange(10**6)))
    pages = {f"/{number}.jpg": Page(picture(number)) for number in range(PICTURES)}
    async with serving(pages) as shop:
        opened = f"127.0.0.1/32:{shop.port},127.0.0.1/32:{receiver.port}"
        async with Up(tmp_path / "data", IMAGEBATCH_ALLOWED_NETWORKS=opened) as up:
            soak = Soak(up, shop, receiver, random.Random(seed))
            found = await soak.run(SECONDS, BATCHES)
            await _webhooks_came(found, receiver)
            family = up.family()
    with capsys.disabled():
        print(f"\nsoak, seed {seed}: {found.lines()}")  # noqa: T201 - what it is for
    _all_ended_right(found)
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    finding(
        f"everything, at random, under {len(found.batches)} batches",
        times=sum(found.kills.values()),
        links=found.links,
        lost=sum(one.links - one.missing - one.status["images"]["succeeded"] for one in found.batches),
        again=found.downloads - found.links,
    )
    for name, most in MOST_KIB_A_BATCH.items():
        assert found.slopes[name] < most, name
    for name, (first, last) in found.files.items():
        assert last <= first + 20, f"{name} has {first} files open, then {last}"


async def _webhooks_came(found: Findings, receiver: Receiver) -> None:
    """One for each batch, under one id, however often it was sent."""

    def ids(request_id: str) -> set[str]:
        word = request_id.encode()
        return {one.headers["webhook-id"] for one in receiver.requests if word in one.body}

    await until(lambda: all(ids(batch.request_id) for batch in found.batches), 120)
    assert all(len(ids(batch.request_id)) == 1 for batch in found.batches)


def _all_ended_right(found: Findings) -> None:
    for batch in found.batches:
        images = batch.status["images"]
        assert (images["succeeded"], images["failed"]) == (batch.links - batch.missing, batch.missing), batch
        is_complete = batch.status["status"] == "complete"
        assert is_complete == (batch.links > batch.missing), batch.status
