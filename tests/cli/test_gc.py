"""`imagebatch gc`: what is no longer kept, shown and removed, beside a system that runs and without one."""

import json
from pathlib import Path

import pytest

from imagebatch import records
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_testing.finished_batches import FinishedBatches, image_keys, working_keys
from imagebatch_testing.local import imagebatch
from imagebatch_testing.shop_and_system import Running

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def test_gc_removes_what_its_dry_run_shows(system: Running) -> None:
    folder = DataFolder(system.data.resolve())
    postgres, s3 = EmbeddedPostgres(folder), EmbeddedS3(folder, folder.read())
    store = S3Store(s3.settings)
    async with records.connect(postgres.settings) as connected:
        batches = FinishedBatches(connected, store, postgres.url)
        await batches.make("old", days_ago=8, keep={"images": 1})
        await batches.make("new", days_ago=1)
        kept = await connected.get("new")
    words = ("--data", system.data)
    dry = await imagebatch("gc", "--dry-run", *words)
    assert dry.code == 0, dry.stderr
    assert dry.stdout.splitlines() == [
        "old  workingFiles  3 objects, 30 bytes",
        "old  images  3 objects, 12 bytes",
        "would go: 6 objects, 42 bytes, 0 unfinished uploads",
    ]
    assert {*working_keys("old"), *image_keys("old")} <= batches.left()
    done = await imagebatch("gc", "--json", *words)
    assert done.code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["total"] == {"objects": 6, "bytes": 42, "uploads": 0}
    assert {each["kind"] for each in document["batches"]} == {"workingFiles", "images"}
    assert not {*working_keys("old"), *image_keys("old")} & batches.left()
    assert {*working_keys("new"), *image_keys("new")} <= batches.left()
    assert kept is not None
    again = await imagebatch("gc", *words)
    assert again.stdout.splitlines() == ["removed: 0 objects, 0 bytes, 0 unfinished uploads"]
    store.close()


async def test_a_system_that_does_not_run_is_started_for_the_moment(tmp_path: Path) -> None:
    done = await imagebatch("gc", "--dry-run", "--data", tmp_path / "data")
    assert done.code == 0, done.stderr
    assert "would go: 0 objects" in done.stdout
    assert "the database has no batch at all" in done.stdout


async def test_a_batch_s_results_that_are_gone_are_told(system: Running) -> None:
    folder = DataFolder(system.data.resolve())
    postgres, s3 = EmbeddedPostgres(folder), EmbeddedS3(folder, folder.read())
    store = S3Store(s3.settings)
    async with records.connect(postgres.settings) as connected:
        await FinishedBatches(connected, store, postgres.url).make("gone", days_ago=8, keep={"outputs": 1})
    store.close()
    assert (await imagebatch("gc", "--data", system.data)).code == 0
    for words in (("results", "gone"), ("retry", "gone")):
        done = await imagebatch(*words, IMAGEBATCH_SERVER=system.url)
        assert done.code == 2
    results = await imagebatch("results", "gone", IMAGEBATCH_SERVER=system.url)
    assert "the results of batch gone were removed on 2" in results.stderr
    retried = await imagebatch("retry", "gone", IMAGEBATCH_SERVER=system.url)
    assert "files_removed" in retried.stderr
