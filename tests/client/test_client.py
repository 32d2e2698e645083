"""Both clients against the real system over real sockets: `imagebatch up` with its Postgres and S3."""

import asyncio
import contextlib
import itertools
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from imagebatch_client import (
    ApiError,
    AsyncClient,
    Client,
    NoAnswerError,
    NotFoundError,
    UnexpectedAnswerError,
    WaitTimeoutError,
    verify,
)
from imagebatch_testing.certificates import Authority
from imagebatch_testing.cutting_proxy import cutting
from imagebatch_testing.receiver import Received, Reply
from imagebatch_testing.shop_and_system import SECRET, Running
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Page, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

WITHIN_S = 60.0


@pytest.fixture
async def client(system: Running) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(system.url) as connected:
        yield connected


async def ended(client: AsyncClient, data: bytes, **options: Any) -> str:
    """The id of a batch that has ended."""
    accepted = await client.submit(data, **options)
    await client.wait(accepted.id, WITHIN_S)
    return accepted.id


# -- uploads ---------------------------------------------------------------------------------------------


async def test_a_file_goes_from_disk_to_a_complete_batch(
    client: AsyncClient, system: Running, tmp_path: Path
) -> None:
    path = tmp_path / "prodücts.csv"
    path.write_bytes(system.csv(good=2, missing=1))
    accepted = await client.submit(path, quality=60, strip_metadata=False, rows_per_shard=1)
    assert (accepted.rows, accepted.images, accepted.warnings) == (3, 3, ())
    batch = await client.wait(accepted.id, WITHIN_S)
    assert (batch.is_complete, batch.images.succeeded, batch.failures) == (True, 2, {"http_status": 1})
    assert batch == await client.get(accepted.id)
    assert batch.output_csv is not None
    await client.download(batch.output_csv, tmp_path / "output.csv")
    assert (tmp_path / "output.csv").read_text().count("/images/") == 2


async def test_the_sync_client_does_the_same(system: Running, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(system.csv(good=1, missing=1))

    def work() -> None:
        with Client(system.url) as client:
            accepted = client.submit(path)
            seen = list(client.watch(accepted.id, timeout_s=WITHIN_S))
            assert [batch.is_finished for batch in seen] == [False] * (len(seen) - 1) + [True]
            assert client.wait(accepted.id) == seen[-1]
            assert accepted.id in {batch.id for batch in client.batches(status="complete")}
            assert seen[-1].errors_csv is not None
            client.download(seen[-1].errors_csv, tmp_path / "errors.csv")
            assert "http_status" in (tmp_path / "errors.csv").read_text()
            with pytest.raises(ApiError) as caught:
                client.cancel(accepted.id)
            assert caught.value.code == "already_finished"
            assert not client.retry(accepted.id).is_finished
            client.wait(accepted.id, WITHIN_S)
            client.delete(accepted.id)
            with pytest.raises(NotFoundError, match="no request with this id"):
                client.get(accepted.id)

    await asyncio.to_thread(work)


async def test_a_refused_file_is_told_with_its_lines(client: AsyncClient) -> None:
    with pytest.raises(ApiError) as caught:
        await client.submit(b"Serial Number,Product Name\n1,Shirt\n")
    (issue,) = caught.value.problem.errors
    assert (caught.value.status, issue.code, issue.line) == (422, "wrong_header", 1)


async def test_a_file_is_checked_and_nothing_is_kept(client: AsyncClient, system: Running) -> None:
    before = (await client.list()).items
    data = system.csv(good=2)
    checked = await client.check(data, quality=60)
    assert (checked.rows, checked.images, checked.warnings) == (2, 2, ())
    assert [(host.host, host.images) for host in checked.hosts] == [("127.0.0.1", 2)]
    assert checked.columns is not None
    assert checked.columns["links"] == ["Input Image Urls"]
    with Client(system.url) as other:
        assert await asyncio.to_thread(other.check, data) == checked
    with pytest.raises(ApiError, match="quality"):
        await client.check(data, quality=0)
    assert (await client.list()).items == before


@pytest.mark.parametrize("cuts", [[0], [20], [0, 0, 40]], ids=["no byte came", "a part came", "three times"])
async def test_an_upload_whose_answer_is_lost_stays_one_batch(
    system: Running, client: AsyncClient, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebatch_client.repeating.PAUSES_S", (0.0,) * 5)
    before = [batch.id async for batch in client.batches()]
    async with cutting(system.up.port) as proxy, AsyncClient(proxy.url) as through:
        proxy.cuts = list(cuts)
        accepted = await through.submit(system.csv())
        assert proxy.connections == len(cuts) + 1
    after = [batch.id async for batch in client.batches()]
    assert set(after) - set(before) == {accepted.id}


async def test_the_sync_client_repeats_a_lost_upload_from_its_first_byte(
    system: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebatch_client.repeating.PAUSES_S", (0.0,) * 5)
    path = tmp_path / "products.csv"
    path.write_bytes(system.csv(good=3))
    async with cutting(system.up.port) as proxy:
        proxy.cuts = [0]
        with Client(proxy.url) as through:
            accepted = await asyncio.to_thread(through.submit, path, idempotency_key=f"key-{path}")
            again = await asyncio.to_thread(through.submit, path, idempotency_key=f"key-{path}")
    assert (accepted.rows, again.id) == (3, accepted.id)


async def test_a_file_is_read_while_it_is_sent(tmp_path: Path) -> None:
    """What is sent is counted by who takes it; the client holds a small part of it at a time."""
    path, size = tmp_path / "large.csv", 64 << 20
    with path.open("wb") as file:
        file.truncate(size)
    taken = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        while taken < size:
            taken += len(await reader.read(1 << 16))
        answer = b'{"request_id": "r1", "status_url": "u", "rows": 1, "images": 1, "warnings": []}'
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tracemalloc.start()
    try:
        async with AsyncClient(url) as client:
            assert (await client.submit(path)).id == "r1"
        taken = 0
        with Client(url) as other:
            assert (await asyncio.to_thread(other.submit, path)).id == "r1"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        server.close()
    assert peak < 8 << 20


async def test_where_nobody_listens_an_upload_ends_at_once(unused_port: int) -> None:
    async with AsyncClient(f"http://127.0.0.1:{unused_port}") as client:
        with pytest.raises(NoAnswerError, match="no answer from") as caught:
            await client.submit(b"x")
    assert not caught.value.was_sent


# -- batches ---------------------------------------------------------------------------------------------


async def test_batches_are_listed_page_by_page_newest_first(client: AsyncClient, system: Running) -> None:
    made = [await ended(client, system.csv()) for _ in range(3)]
    page = await client.list(limit=2, status="complete")
    assert [batch.id for batch in page.items] == [made[2], made[1]]
    assert page.next_after == made[1]
    more = await client.list(limit=1, after=page.next_after)
    assert [batch.id for batch in more.items] == [made[0]]
    everything = [batch.id async for batch in client.batches()]
    assert everything[:3] == made[::-1]
    with pytest.raises(ApiError) as caught:
        await client.list(status="odd")
    assert caught.value.code == "invalid_parameter"


async def test_a_batch_is_suspended_resumed_and_cancelled(client: AsyncClient, system: Running) -> None:
    data, may_come = system.held_csv(good=1)
    accepted = await client.submit(data)
    with pytest.raises(ApiError, match="not at its end") as caught:
        await client.delete(accepted.id)
    assert caught.value.code == "still_running"
    assert (await client.suspend(accepted.id)).reason == "Suspended"
    assert (await client.resume(accepted.id)).reason is None
    assert (await client.cancel(accepted.id)).reason == "Stopping"
    batch = await client.wait(accepted.id, WITHIN_S)
    assert (batch.phase, batch.status) == ("Cancelled", "failed")
    may_come.set()
    await client.retry(accepted.id)
    assert (await client.wait(accepted.id, WITHIN_S)).images.succeeded == 2


async def test_retry_needs_something_that_failed(client: AsyncClient, system: Running) -> None:
    with pytest.raises(ApiError) as caught:
        await client.retry(await ended(client, system.csv()))
    assert caught.value.code == "nothing_to_retry"


# -- to its end ------------------------------------------------------------------------------------------


async def test_waiting_ends_in_time_and_the_batch_goes_on(client: AsyncClient, system: Running) -> None:
    data, may_come = system.held_csv()
    accepted = await client.submit(data)
    with pytest.raises(WaitTimeoutError):
        await client.wait(accepted.id, 0.2)
    with Client(system.url) as other, pytest.raises(TimeoutError):
        await asyncio.to_thread(other.wait, accepted.id, 0.2)
    may_come.set()
    assert (await client.wait(accepted.id, WITHIN_S)).is_complete


async def test_a_batch_is_followed_through_connections_that_break(
    client: AsyncClient, system: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebatch_client.following.POLL_S", 0.05)
    data, may_come = system.held_csv()
    accepted = await client.submit(data)
    async with cutting(system.up.port) as proxy, AsyncClient(proxy.url) as through:
        proxy.cuts = [0, 10, 0, 400, 0]
        seen = []
        async for batch in through.watch(accepted.id, timeout_s=WITHIN_S):
            seen.append(batch)
            may_come.set()
        assert not proxy.cuts
    assert seen[-1].is_complete
    assert all(one != other for one, other in itertools.pairwise(seen))


async def test_who_stops_watching_leaves_no_connection(client: AsyncClient, system: Running) -> None:
    data, may_come = system.held_csv()
    accepted = await client.submit(data)
    async with contextlib.aclosing(client.watch(accepted.id)) as batches:
        async for batch in batches:
            assert not batch.is_finished
            break
    may_come.set()
    assert (await client.wait(accepted.id, WITHIN_S)).is_complete


async def test_a_batch_that_there_is_not_is_told_at_once(client: AsyncClient) -> None:
    for work in (client.get, client.wait, client.cancel, client.retry, client.delete):
        asked: Callable[[str], Awaitable[object]] = work
        with pytest.raises(NotFoundError):
            await asked("nobody")


async def test_another_kind_of_server_is_told(tmp_path: Path) -> None:
    async with serving({"/status/r1": Page(b"<html>hello")}) as web, AsyncClient(web.url("")) as client:
        with pytest.raises(UnexpectedAnswerError, match="can't be read"):
            await client.get("r1")
        with pytest.raises(UnexpectedAnswerError, match="no ImageBatch server: HTTP 404"):
            await client.list()
        with pytest.raises(UnexpectedAnswerError, match="answers with HTTP 404"):
            await client.download(web.url("/nothing"), tmp_path / "nothing")
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_changes_come_as_events_and_nobody_asks(client: AsyncClient, system: Running) -> None:
    data, may_come = system.held_csv()
    accepted = await client.submit(data)
    async with cutting(system.up.port) as proxy, AsyncClient(proxy.url) as through:
        async for batch in through.watch(accepted.id):
            if batch.phase == "Running":
                may_come.set()
        assert batch.is_complete
        assert proxy.connections == 1
    metrics = (await system.up.http.get("/metrics")).text
    assert 'route="/batches/{request_id}/events"' in metrics


# -- results and webhooks ----------------------------------------------------------------------------------


async def test_images_come_page_by_page_with_all_that_is_known(client: AsyncClient, system: Running) -> None:
    request_id = await ended(client, system.csv(good=3, missing=2))
    everything = [image async for image in client.images(request_id, page_size=2)]
    assert [image.row for image in everything] == [1, 2, 3, 4, 5]
    good, *_, bad = everything
    assert (good.source_format, good.format, good.width, good.error_code) == ("jpeg", "jpeg", 240, None)
    assert good.output_url is not None
    assert good.bytes_in is not None
    assert good.bytes_out is not None
    assert good.bytes_out < good.bytes_in
    assert (bad.error_code, bad.error, bad.output_url, bad.width) == ("http_status", "HTTP 404", None, None)
    failed = [image async for image in client.images(request_id, outcome="failed")]
    assert failed == everything[3:]

    def work() -> list[int]:
        with Client(system.url) as other:
            return [image.row for image in other.images(request_id, page_size=1, outcome="succeeded")]

    assert await asyncio.to_thread(work) == [1, 2, 3]


async def test_images_of_a_batch_that_runs_are_not_there_yet(client: AsyncClient, system: Running) -> None:
    data, may_come = system.held_csv()
    accepted = await client.submit(data)
    with pytest.raises(NotFoundError) as caught:
        await anext(client.images(accepted.id))
    assert caught.value.code == "no_report"
    may_come.set()


async def test_webhooks_are_listed_sent_again_and_tried(client: AsyncClient, system: Running) -> None:
    url = system.receiver.url("/of-the-client")
    request_id = await ended(client, system.csv(), webhook_url=url)

    def came() -> list[Received]:
        return [got for got in system.receiver.requests if got.path == "/of-the-client"]

    await until(lambda: len(came()) == 1)

    async def is_delivered() -> bool:
        return (await client.deliveries(request_id))[0].state == "delivered"

    await until(is_delivered)
    (delivery,) = await client.deliveries(request_id)
    assert (delivery.url, delivery.attempt, delivery.tries) == (url, 1, 1)
    assert (await client.redeliver(request_id)).webhook_id == delivery.webhook_id
    await until(lambda: len(came()) == 2)
    first, second = came()
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery.webhook_id
    verify(SECRET, second.headers, second.body)
    tried = await client.test_webhook(url)
    assert (tried.delivered, tried.error) == (True, None)
    assert came()[2].headers["webhook-id"] == tried.webhook_id
    system.receiver.replies["/refuses"] = Reply(500)
    refused = await client.test_webhook(system.receiver.url("/refuses"))
    assert (refused.delivered, "500" in str(refused.error)) == (False, True)
    with pytest.raises(ApiError) as caught:
        await client.redeliver(await ended(client, system.csv()))
    assert caught.value.code == "no_webhook"


async def test_a_certificate_of_an_unknown_authority_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    status = json.dumps({"request_id": "r1", "status": "complete", "phase": "Complete"}).encode()
    async with serving({"/status/r1": Page(status)}, tls=authority.server_context("IP:127.0.0.1")) as web:
        async with AsyncClient(web.url(""), "ib_token") as client:
            with pytest.raises(NoAnswerError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get("r1")
        assert web.seen_headers == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.crt"))
        with Client(web.url(""), "ib_token") as other:
            assert (await asyncio.to_thread(other.get, "r1")).is_complete
        assert web.seen_headers[0]["authorization"] == "Bearer ib_token"
