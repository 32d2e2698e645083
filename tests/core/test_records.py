"""The records and the outbox, in a real Postgres."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from imagebatch import migrations, webhook
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.errors import ConflictError, OutcomeUnknownError, RecordsError
from imagebatch.outcome import Counts
from imagebatch.records import Gain, NewRequest, Records, Request, Result, Suspension, failures, pool
from imagebatch_testing.servers import Servers

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

COMPLETE = Ending(Phase.COMPLETE, "done")
RESULT = Result(
    Counts(3, 2, 1, 100, 40), {"http_status": 1}, "csvfile/r1_output.csv", "csvfile/r1_errors.csv"
)


async def created(records: Records, **fields: str) -> Request:
    new = NewRequest(**{"request_id": "r1", **fields})  # type: ignore[arg-type]
    await records.create(new)
    found = await records.get(new.request_id)
    assert found is not None
    return found


async def finish(records: Records, request: Request, ending: Ending = COMPLETE) -> bool:
    message_id = webhook.webhook_id(request.request_id, request.attempt)
    ended = await records.finish(request, ending, RESULT, '{"a": 1}', message_id)
    assert ended is None or (ended.phase, ended.counts) == (ending.phase, RESULT.counts)
    return ended is not None


async def test_a_request_is_recorded_once(records: Records) -> None:
    new = NewRequest(request_id="r1", spec={"suspend": False}, rows=2, images=3)
    assert await records.create(new)
    assert not await records.create(new)
    found = await records.get("r1")
    assert found is not None
    assert (found.status, found.phase, found.rows, found.counts.total) == ("pending", Phase.PENDING, 2, 3)
    assert found.spec == {"suspend": False}


async def test_a_second_owner_of_an_id_is_refused(records: Records) -> None:
    await created(records, owner="uid-1")
    with pytest.raises(ConflictError):
        await records.create(NewRequest(request_id="r1", owner="uid-2"))


async def test_an_unknown_request_is_none(records: Records) -> None:
    assert await records.get("no' OR 1=1 --") is None


async def test_the_terminal_commit_happens_once_with_one_delivery(records: Records) -> None:
    request = await created(records, webhook_url="http://hook.example/")
    committed = await asyncio.gather(*(finish(records, request) for _ in range(8)))
    assert sorted(committed) == [False] * 7 + [True]
    found = await records.get("r1")
    assert found is not None
    assert (found.status, found.output_key, found.counts) == ("complete", RESULT.output_key, RESULT.counts)
    assert len(await records.claim_deliveries(10, 60)) == 1


async def test_a_finished_request_is_not_moved_by_late_progress(records: Records) -> None:
    request = await created(records)
    await finish(records, request)
    zombie = replace(request, phase=Phase.RUNNING, message="zombie", counts=Counts(3, 1, 0))
    assert await records.progress(zombie) is None
    found = await records.get("r1")
    assert found is not None
    assert found.phase is Phase.COMPLETE
    assert await records.pending() == []


async def test_progress_is_recorded(records: Records) -> None:
    request = await created(records)
    counts = Counts(3, 1, 0, 10, 5)
    given = replace(
        request, phase=Phase.RUNNING, message="1 of 3", counts=counts, rows=7, input_sha256="digest"
    )
    written = await records.progress(given)
    found = await current(records)
    assert written == found
    assert (found.rows, found.counts, found.input_sha256) == (7, counts, "digest")
    assert (found.phase, found.message, found.counts.succeeded) == (Phase.RUNNING, "1 of 3", 1)
    assert found.started_at is not None


async def test_no_webhook_url_means_no_delivery(records: Records) -> None:
    await finish(records, await created(records))
    assert await records.claim_deliveries(10, 60) == []
    assert await records.delivery("r1") is None


async def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(records: Records) -> None:
    await finish(records, await created(records, webhook_url="http://hook.example/"))
    assert len(await records.claim_deliveries(10, 60)) == 1
    assert await records.claim_deliveries(10, 60) == []
    (seconds,) = [await records.next_delivery_seconds()]
    assert seconds is not None
    assert 50 < seconds <= 60


async def test_a_delivery_whose_lease_ended_comes_back_with_the_same_id(records: Records) -> None:
    await finish(records, await created(records, webhook_url="http://hook.example/"))
    (first,) = await records.claim_deliveries(10, 0)
    (second,) = await records.claim_deliveries(10, 0)
    assert (first.webhook_id, first.tries, second.tries) == (second.webhook_id, 0, 1)


async def test_a_settled_delivery_is_over(records: Records) -> None:
    await finish(records, await created(records, webhook_url="http://hook.example/"))
    (delivery,) = await records.claim_deliveries(10, 0)
    await records.settle_delivery(delivery.webhook_id, delivered=True)
    assert await records.claim_deliveries(10, 0) == []
    state = await records.delivery("r1")
    assert state is not None
    assert state.state == "delivered"


async def test_many_programs_may_migrate_at_once(records: Records, database_url: str) -> None:
    await asyncio.gather(*(migrations.upgrade(database_url) for _ in range(4)))
    await records.ping()


async def test_another_attempt_opens_a_finished_request_once(records: Records) -> None:
    request = await created(records, webhook_url="http://hook.example/")
    await records.reopen("r1", 2)
    assert (await current(records)).attempt == 1  # it runs: there is nothing to open
    await finish(records, request)
    await records.reopen("r1", 2)
    await records.reopen("r1", 2)
    reopened = await current(records)
    assert (reopened.attempt, reopened.status, reopened.phase) == (2, "pending", Phase.PENDING)
    assert (reopened.counts.succeeded, reopened.finished_at, reopened.error) == (0, None, None)
    assert reopened.output_key == RESULT.output_key  # the earlier CSV stays until it is replaced
    assert not await finish(records, request), "a late end of the first attempt"
    assert await finish(records, reopened)
    deliveries = await records.claim_deliveries(10, 60)
    assert sorted(delivery.attempt for delivery in deliveries) == [1, 2]
    assert len({delivery.webhook_id for delivery in deliveries}) == 2


async def test_a_row_is_made_or_found_by_one_call(records: Records) -> None:
    new = NewRequest(request_id="r1", owner="uid-1", spec={"suspend": False})
    made = await records.ensure(new)
    found = await records.ensure(replace(new, owner="uid-2", spec={}))
    assert made is not None
    assert made == found == await current(records)


async def test_the_spec_of_a_pending_request_may_change(records: Records) -> None:
    request = await created(records)
    await records.change_spec("r1", {"suspend": True})
    await records.change_spec("r1", {"cancel": True})
    assert (await current(records)).spec == {"suspend": True, "cancel": True}
    await finish(records, request)
    await records.change_spec("r1", {"cancel": False})
    assert (await current(records)).spec["cancel"]


async def test_suspended_time_is_no_active_time(records: Records) -> None:
    request = await created(records)
    since = datetime.now(UTC) - timedelta(minutes=5)
    began = replace(request, suspension=request.suspension.as_desired(is_suspended=True, now=since))
    suspended = await records.progress(began)
    assert suspended is not None
    assert suspended.suspension == Suspension(0.0, since)
    now = since + timedelta(minutes=7)
    resumed = replace(suspended, suspension=suspended.suspension.as_desired(is_suspended=False, now=now))
    assert resumed.suspension == Suspension(420.0)
    later = suspended.started_at + timedelta(minutes=10) if suspended.started_at else now
    assert resumed.active_seconds(later) == 180.0
    assert await finish(records, suspended)
    ended = (await current(records)).suspension
    assert ended.since is None
    assert 300 <= ended.seconds < 400


async def current(records: Records) -> Request:
    found = await records.get("r1")
    assert found is not None
    return found


async def test_whose_token_a_request_came_with_is_kept(records: Records) -> None:
    assert (await created(records)).uploaded_by is None
    owned = await created(records, request_id="r2", uploaded_by="shop")
    assert owned.uploaded_by == "shop"
    assert not await records.create(NewRequest(request_id="r2", uploaded_by="rival")), "it stays the first's"
    found = await records.get("r2")
    assert found is not None
    assert found.uploaded_by == "shop"


@pytest.mark.usefixtures("records")
async def test_a_call_waits_for_a_connection_no_longer_than_it_may(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All connections are taken, as by statements that hang."""
    monkeypatch.setattr(failures, "CALL_S", 0.2)
    async with pool.opened(servers.database.model_copy(update={"database_connections": 1})) as connections:
        async with connections.acquire():
            with pytest.raises(RecordsError, match="TimeoutError"):
                await Records(connections).get("r1")
        assert await Records(connections).get("r1") is None


LOST = (
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.InterfaceError("connection is closed"),
    ConnectionResetError("Connection lost"),
)


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: type(lost).__name__)
async def test_a_connection_that_breaks_is_an_error_of_ours_and_no_answer(
    records: Records, monkeypatch: pytest.MonkeyPatch, lost: Exception
) -> None:
    async def breaks(*_: object, **__: object) -> None:
        raise lost

    monkeypatch.setattr(asyncpg.Connection, "execute", breaks)
    monkeypatch.setattr(asyncpg.Connection, "fetchrow", breaks)
    with pytest.raises(OutcomeUnknownError, match=type(lost).__name__):
        await records.create(NewRequest(request_id="r1"))
    with pytest.raises(RecordsError, match=type(lost).__name__):
        await records.get("r1")


def test_what_is_done_again_is_no_gain() -> None:
    gain = Gain().after(3, 10.0)
    assert gain == Gain(3, 10.0)
    assert gain.after(2, 20.0) == gain.after(3, 30.0) == gain
    assert gain.after(4, 40.0) == Gain(4, 40.0)


async def test_the_gain_of_an_attempt_is_recorded_and_begins_anew(records: Records) -> None:
    request = await created(records)
    written = await records.progress(replace(request, phase=Phase.RUNNING, gain=Gain(5, 2.5)))
    assert written is not None
    assert written.gain == Gain(5, 2.5)
    await finish(records, written)
    await records.reopen("r1", 2)
    assert (await current(records)).gain == Gain()
