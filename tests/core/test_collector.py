"""What of a batch goes when its days are over, whatever breaks off, and never too early."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from imagebatch.batch import collector as collectors
from imagebatch.batch import gc, removal
from imagebatch.batch.collector import Collected, Collector
from imagebatch.batch.control import TO_RUN
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.batch.retention import Amount, KeepDays, Kind, Policy
from imagebatch.batch.sweep import Sweeper
from imagebatch.errors import FilesRemovedError, RecordsError, StoreError
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Request, Result
from imagebatch.records import retention_statements as statements
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import JSON
from imagebatch_testing.finished_batches import FinishedBatches, csv_keys, image_keys, working_keys
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

POLICY = Policy(keep=KeepDays(working_files=7.0, outputs=0.0, images=0.0), orphan_days=2.0)


class TroubledStore(MemoryStore):
    """Refuses deletions after the first `good` ones."""

    good = 10**9

    def delete(self, keys: Iterable[str]) -> None:
        if not self.good:
            raise StoreError("S3: 503 SlowDown")
        self.good -= 1
        super().delete(keys)


@pytest.fixture
def store() -> TroubledStore:
    return TroubledStore()


@pytest.fixture
def batches(records: Records, store: TroubledStore, database_url: str) -> FinishedBatches:
    return FinishedBatches(records, store, database_url)


def collector_of(batches: FinishedBatches, policy: Policy = POLICY, *, is_alone: bool = False) -> Collector:
    store = AsyncStore(batches.store)
    sweeper = Sweeper(batches.records, store, policy)
    return Collector(batches.records, store, policy, sweeper, is_alone=is_alone)


async def collected(batches: FinishedBatches, policy: Policy = POLICY) -> list[Collected]:
    return [each async for each in collector_of(batches, policy).collect()]


async def surveyed(batches: FinishedBatches, policy: Policy = POLICY) -> list[Collected]:
    return [each async for each in collector_of(batches, policy).survey()]


async def row(records: Records, request_id: str) -> Request:
    found = await records.get(request_id)
    assert found is not None
    return found


@asynccontextmanager
async def running(collector: Collector) -> AsyncIterator[None]:
    task = asyncio.create_task(collector.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("keep", "days_ago", "gone"),
    [
        ({}, 6.99, set()),
        ({}, 7.01, {Kind.WORKING_FILES}),
        ({"workingFiles": 0}, 5000, set()),
        ({"workingFiles": 10}, 9.99, set()),
        ({"workingFiles": 0.5}, 0.51, {Kind.WORKING_FILES}),
        ({"outputs": 3}, 2.99, set()),
        ({"outputs": 3}, 3.01, {Kind.OUTPUTS}),
        ({"images": 8, "outputs": 9}, 8.5, {Kind.WORKING_FILES, Kind.IMAGES}),
        ({"images": 8, "outputs": 9}, 9.5, {Kind.WORKING_FILES, Kind.IMAGES, Kind.OUTPUTS}),
    ],
)
async def test_a_kind_goes_when_its_days_are_over(
    batches: FinishedBatches, records: Records, keep: dict[str, float], days_ago: float, gone: set[Kind]
) -> None:
    await batches.make("r1", keep=keep, days_ago=days_ago)
    await batches.make("r10", keep=keep)
    before = batches.left()
    expected = await surveyed(batches)
    assert batches.left() == before
    found = await collected(batches)
    assert found == expected
    assert {each.kind for each in found} == gone
    names = {
        Kind.WORKING_FILES: working_keys("r1"),
        Kind.OUTPUTS: csv_keys("r1"),
        Kind.IMAGES: image_keys("r1"),
    }
    assert batches.left() == before - {key for kind in gone for key in names[kind]}
    removed = (await row(records, "r1")).removed
    assert (removed.working_files is not None) == (Kind.WORKING_FILES in gone)
    assert (removed.outputs is not None) == (Kind.OUTPUTS in gone)
    assert (removed.images is not None) == (Kind.IMAGES in gone)
    assert await collected(batches) == []
    assert (await row(records, "r10")).removed.prevents_retry is None


async def test_the_default_of_every_kind_counts_for_batches_without_their_own(
    batches: FinishedBatches, records: Records
) -> None:
    policy = Policy(keep=KeepDays(working_files=1.0, outputs=2.0, images=3.0))
    await batches.make("r1", days_ago=2.5)
    await batches.make("r2", days_ago=2.5, keep={"outputs": 0, "workingFiles": 5})
    assert {(each.request_id, each.kind) for each in await collected(batches, policy)} == {
        ("r1", Kind.WORKING_FILES),
        ("r1", Kind.OUTPUTS),
    }
    found = await row(records, "r1")
    assert (found.output_key, found.errors_key, found.report_key) == (None, None, None)
    assert (await row(records, "r2")).output_key == keys.output("r2")


async def test_a_batch_that_runs_is_left_alone(batches: FinishedBatches, records: Records) -> None:
    await batches.make("r1", days_ago=100, skipped=1)
    await records.reopen("r1", 2, TO_RUN)
    await records.create(NewRequest(request_id="r2"))
    before = batches.left()
    assert await surveyed(batches) == await collected(batches) == []
    assert batches.left() == before


async def test_another_attempt_is_refused_once_what_it_needs_is_gone(
    batches: FinishedBatches, records: Records
) -> None:
    await batches.make("r1", days_ago=8)
    await collected(batches)
    with pytest.raises(FilesRemovedError, match="can't be tried again"):
        await records.reopen("r1", 2, TO_RUN)
    assert (await row(records, "r1")).attempt == 1
    await records.reopen("r1", 1, TO_RUN)  # which has been, and is no retry


async def test_a_retry_and_a_claim_shut_each_other_out(batches: FinishedBatches, records: Records) -> None:
    """Of many at once, each batch is either tried again with all its files, or loses them and is not."""
    names = [f"r{number}" for number in range(24)]
    for name in names:
        await batches.make(name, days_ago=8)

    async def retried(name: str) -> bool:
        try:
            await records.reopen(name, 2, TO_RUN)
        except (FilesRemovedError, RecordsError):
            return False
        return True

    retries = asyncio.gather(*(retried(name) for name in reversed(names)))
    gone = {each.request_id for each in await collected(batches)}
    again = {name for name, is_again in zip(reversed(names), await retries, strict=True) if is_again}
    assert gone | again == set(names)
    assert gone & again == set()
    for name in again:
        assert set(working_keys(name)) <= batches.left()


async def test_outputs_that_are_being_removed_hold_a_retry_up_and_are_written_again(
    batches: FinishedBatches, records: Records
) -> None:
    await batches.make("r1", keep={"outputs": 1}, days_ago=2)
    claim = await records.retentions.claim(POLICY, "", 60)
    assert claim is not None
    assert claim.kinds == (Kind.OUTPUTS,)
    with pytest.raises(RecordsError, match="at this moment"):
        await records.reopen("r1", 2, TO_RUN)
    await records.retentions.finish(claim, claim.kinds)
    await records.reopen("r1", 2, TO_RUN)
    request = await row(records, "r1")
    assert request.removed.outputs is not None
    ended = await records.finish(
        request, Ending(Phase.COMPLETE, "done"), Result(output_key=keys.output("r1")), "{}", "msg_2"
    )
    assert ended is not None
    assert ended.removed.outputs is None


async def test_what_broke_off_between_pages_goes_on(
    batches: FinishedBatches, store: TroubledStore, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "PAGE", 1)
    await batches.make("r1", days_ago=8)
    store.good = 2
    assert await collected(batches) == []
    assert len(set(working_keys("r1")) & batches.left()) == 1
    with pytest.raises(FilesRemovedError):
        await records.reopen("r1", 2, TO_RUN)
    store.good = 10**9
    await records.retentions.release_all()
    assert await surveyed(batches) == await collected(batches)
    assert set(working_keys("r1")) & batches.left() == set()
    assert await records.retentions.claim(POLICY, "", 60) is None


async def test_who_was_killed_is_followed_at_once_by_one_that_is_alone(
    batches: FinishedBatches, records: Records
) -> None:
    await batches.make("r1", days_ago=8)
    assert await records.retentions.claim(POLICY, "", 600) is not None
    async with running(collector_of(batches, is_alone=True)):
        await until(lambda: not set(working_keys("r1")) & batches.left())


async def test_two_collectors_share_the_work(batches: FinishedBatches) -> None:
    for number in range(20):
        await batches.make(f"r{number}", days_ago=8)
    one, other = await asyncio.gather(collected(batches), collected(batches))
    assert sorted(each.request_id for each in one + other) == sorted(f"r{number}" for number in range(20))
    assert sum((each.amount for each in one + other), Amount()) == Amount(60, 600)


async def test_a_deletion_waits_for_a_claim_and_ends_it(batches: FinishedBatches, records: Records) -> None:
    """Else the id would be free, and a new upload's files would go with the old ones."""
    await batches.make("r1", days_ago=8)
    claim = await records.retentions.claim(POLICY, "", 60)
    assert claim is not None
    assert await records.deletions.mark("r1")
    assert await records.deletions.claim(60, "") is None
    assert await records.retentions.extend(claim, 60) is None
    assert await records.retentions.claim(POLICY, "", 60) is None
    seconds = await records.deletions.next_seconds("")
    assert seconds is not None
    assert 50 < seconds <= 60


async def test_images_that_no_csv_names_go_and_those_that_it_names_stay(
    batches: FinishedBatches, records: Records
) -> None:
    await batches.make("r1", phase=Phase.CANCELLED, skipped=5, days_ago=1.99)
    await batches.make("r2", phase=Phase.CANCELLED, skipped=5, days_ago=2.01, keep={"outputs": 1})
    await batches.make("r3", days_ago=2.01)
    expected = await surveyed(batches)
    assert await collected(batches) == expected
    assert expected == [
        Collected("r2", Kind.UNNAMED_IMAGES, Amount(1, 4)),
        Collected("r2", Kind.OUTPUTS, Amount(2, expected[1].amount.bytes)),
    ]
    assert set(image_keys("r2")) & batches.left() == set(image_keys("r2")[:2])
    assert set(image_keys("r1") + image_keys("r3")) <= batches.left()
    await records.reopen("r2", 2, TO_RUN)  # it has all that it needs


@pytest.mark.parametrize("case", ["no-report", "report-gone", "damaged", "earlier-output"])
async def test_where_it_is_not_known_which_images_are_named_all_stay(
    batches: FinishedBatches, store: TroubledStore, case: str
) -> None:
    await batches.make("r1", phase=Phase.CANCELLED, skipped=5, days_ago=3)
    if case == "no-report":
        await batches.execute("UPDATE processing_requests SET report_key = NULL")
    elif case == "report-gone":
        store.delete([keys.image_report("r1")])
    elif case == "damaged":
        store.put(keys.image_report("r1"), b"no,report\n\xff", JSON)
    else:
        await batches.execute("UPDATE processing_requests SET output_key = NULL, report_key = NULL")
    assert [each.amount for each in await collected(batches)] == [Amount()]
    assert set(image_keys("r1")) <= batches.left()


async def test_of_a_batch_that_wrote_no_csv_no_image_stays(
    batches: FinishedBatches, records: Records
) -> None:
    await records.create(NewRequest(request_id="r1"))
    request = await row(records, "r1")
    batches.leave("r1")
    batches.store.delete(csv_keys("r1"))
    await records.finish(request, Ending(Phase.CANCELLED, "", "deleted", "Deleted"), Result(), "{}", "msg_1")
    await batches.pass_days(2.5, "r1")
    assert [each.kind for each in await collected(batches)] == [Kind.UNNAMED_IMAGES]
    assert set(image_keys("r1")) & batches.left() == set()


async def test_images_that_go_whole_are_counted_once(batches: FinishedBatches) -> None:
    await batches.make("r1", phase=Phase.CANCELLED, skipped=5, days_ago=9, keep={"images": 8})
    expected = await surveyed(batches)
    assert await collected(batches) == expected
    assert sum((each.amount for each in expected), Amount()).objects == 6


async def test_while_nothing_is_due_one_statement_says_when_to_look_again(
    batches: FinishedBatches, records: Records
) -> None:
    assert await records.retentions.next_seconds(Policy(keep=KeepDays()), "") is None
    await batches.make("r1", keep={"images": 2}, days_ago=1)
    seconds = await records.retentions.next_seconds(Policy(keep=KeepDays()), "")
    assert seconds is not None
    assert 86_300 < seconds <= 86_400
    seconds = await records.retentions.next_seconds(Policy(keep=KeepDays(outputs=1.0001)), "")
    assert seconds is not None
    assert 0 < seconds <= 9
    assert await records.retentions.next_seconds(Policy(keep=KeepDays(working_files=0.9)), "") == 0


async def test_it_waits_for_what_is_due_and_no_longer_than_an_hour(
    batches: FinishedBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "PAUSE_S", 0.05)
    await batches.make("r1", keep={"workingFiles": 1.5 / 86_400})
    async with running(collector_of(batches)):
        assert set(working_keys("r1")) <= batches.left()
        await until(lambda: not set(working_keys("r1")) & batches.left())


async def test_with_nothing_due_it_looks_again_in_an_hour(batches: FinishedBatches) -> None:
    await batches.make("r1", days_ago=1)
    assert await collector_of(batches)._look() == collectors.LOOK_S
    await batches.pass_days(6 - 60 / 86_400, "r1")
    assert 50 < await collector_of(batches)._look() <= 60


async def test_a_defect_stops_nothing_else(batches: FinishedBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collectors, "LOOK_S", 0.01)
    await batches.execute("UPDATE object_sweeps SET swept_at = now() - interval '2 days'")
    monkeypatch.setattr(Sweeper, "sweep_if_due", lambda _: 1 / 0)
    await batches.make("r1", days_ago=8)
    async with running(collector_of(batches)):
        await until(lambda: not set(working_keys("r1")) & batches.left())
        await batches.make("r2", days_ago=8)
        await until(lambda: not set(working_keys("r2")) & batches.left())


async def test_days_may_be_changed_after_the_end(batches: FinishedBatches, records: Records) -> None:
    await batches.make("r1", days_ago=3)
    changed = await records.retentions.keep("r1", {"workingFiles": 2.0})
    assert changed is not None
    assert changed.spec == {"keepDays": {"workingFiles": 2.0}}
    assert [each.kind for each in await collected(batches)] == [Kind.WORKING_FILES]
    assert await records.retentions.keep("none", {}) is None


ENDED_ROWS = """
INSERT INTO processing_requests (request_id, owner, status, created_at, finished_at, output_key, spec)
SELECT 'ended-' || number, 'api', 'complete', ended, ended, 'output',
       CASE number % 4 WHEN 0 THEN '{"keepDays": {"workingFiles": 3, "outputs": 3, "images": 3}}' ELSE '{}' END::jsonb
FROM (SELECT number, now() - number * interval '1 minute' AS ended FROM generate_series(1, 4000) AS number) AS rows
"""


@pytest.mark.usefixtures("records")
async def test_the_first_due_row_is_found_by_an_index(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(ENDED_ROWS)  # in a table of no row each plan costs the same
        await connection.execute("ANALYZE processing_requests")
        for due in [*statements.DUE_BY_DEFAULT.items(), *statements.DUE_BY_OWN.items()]:
            claim = statements.claim_due(*due)
            lines = await connection.fetch(
                "EXPLAIN " + claim.replace("$1", "300").replace("$2", "7").replace("$3", "'s1'")
            )
            plan = "\n".join(line[0] for line in lines)
            assert "_due on processing_requests" in plan, plan
            assert "Sort" not in plan, plan
        looked = statements.NEXT
        for number in range(4):
            looked = looked.replace(f"${number + 1}::", "7::").replace("$5", "'s1'")
        plan = "\n".join(line[0] for line in await connection.fetch(f"EXPLAIN {looked}"))
        assert plan.count("_due on processing_requests") == 7, plan
        assert "Seq Scan on processing_requests" not in plan, plan
    finally:
        await transaction.rollback()
        await connection.close()


async def test_on_the_real_s3_it_goes_too_with_uploads_that_were_never_finished(
    records: Records, s3_store: S3Store, database_url: str
) -> None:
    batches = FinishedBatches(records, s3_store, database_url)
    await batches.make("r1", keep={"images": 1, "outputs": 1}, days_ago=8)
    await batches.make("r2", days_ago=1, keep={"images": 0})
    for key in (keys.canonical_input("r1"), keys.output("r1"), keys.canonical_input("r2")):
        s3_store._client._create_multipart_upload("imagebatch", key, {})
    store = AsyncStore(s3_store)
    sweeper = Sweeper(records, store, POLICY)
    dry = await gc.run(collector_of(batches), sweeper, is_dry_run=True)
    done = await gc.run(collector_of(batches), sweeper, is_dry_run=False)
    assert dry.document() | {"dry_run": False} == done.document()
    assert [each.kind for each in done.batches] == [Kind.WORKING_FILES, Kind.OUTPUTS, Kind.IMAGES]
    mark = keys.database_mark((await records.retentions.sweep()).database)
    assert batches.left() == {*working_keys("r2"), *csv_keys("r2"), *image_keys("r2"), mark}
    (left,) = s3_store.unfinished("")
    assert left.key == keys.canonical_input("r2")
    s3_store.end(left)


async def test_what_is_on_another_store_is_not_this_programs_to_remove(records: Records) -> None:
    await records.create(NewRequest(request_id="r1", store="theirs"))
    found = await records.get("r1")
    assert found is not None
    await records.finish(found, Ending(Phase.COMPLETE, "done"), Result(Counts()), "{}", "msg_1")
    policy = Policy(keep=KeepDays(working_files=1e-9))
    assert await records.retentions.next_seconds(policy, "ours") is None
    assert await records.retentions.claim(policy, "ours", 60) is None
    assert [due async for due in records.retentions.due(policy, "ours")] == []
    assert await records.retentions.claim(policy, "theirs", 60) is not None
