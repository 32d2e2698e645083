"""The real operator against a real API server: what it makes, says and removes. No node runs anything."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from imagebatch.batch.shard import ShardId
from imagebatch.records import Records
from imagebatch.storage import keys
from imagebatch_testing.operated import ROWS, Batch, Make, condition
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import (
    NAMESPACE,
    OperatorProcess,
    leave_report,
    new_name,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.integration,
    pytest.mark.timeout(120, func_only=True),
    pytest.mark.usefixtures("operator"),
]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_c2Vjb25kIHNlY3JldCBvZiAzMiBieXRlcyBhdCBsZWFzdA=="


async def test_a_batch_runs_through(make: Make, operated_records: Records) -> None:
    batch = await make("through")
    status = await batch.finish()
    assert (status["images"]["succeeded"], status["shards"]["done"], status["progress"]) == (2, 2, "2/2")
    assert condition(status, "Finished")["status"] == "True"
    await batch.until_events("Planned", "JobCreated", "Complete")
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert (row.status, row.rows, row.counts.total, len(row.input_sha256)) == ("complete", 2, 2, 64)
    await until(lambda: _is_empty(batch))
    assert batch.store.head(keys.output(batch.uid)) is not None


async def _is_empty(batch: Batch) -> bool:
    return await batch.objects.jobs(batch.uid) == []


async def test_why_images_fail_is_shown_while_others_are_done(make: Make) -> None:
    batch = await make("failing")
    job = await batch.job()
    await job.run(0, 1)
    await asyncio.to_thread(leave_report, batch.store, ShardId(batch.uid, 1, 0), failed=True)
    await job.complete(0)
    status = await batch.objects.until_status(batch.name, lambda now: "failures" in now)
    assert (status["phase"], status["failures"]) == ("Running", {"http_status": 1})
    await batch.report(1)
    await job.complete(1)
    await batch.until_phase("Complete")


async def test_progress_is_shown_while_shards_run(make: Make) -> None:
    batch = await make("moving")
    job = await batch.job()
    await job.run(0, 1)
    await batch.report(0)
    await job.complete(0)
    status = await batch.objects.until_status(batch.name, lambda now: now.get("progress") == "1/2")
    assert status["shards"] == {"total": 2, "done": 1, "active": 1, "failed": 0}
    await batch.report(1)
    await job.complete(1)
    await batch.until_phase("Complete")


async def test_a_taken_request_id_is_refused(make: Make) -> None:
    request_id = new_name("spring")
    first = await make("owner", requestId=request_id)
    job = await first.job()
    second = await make("claimant", requestId=request_id)
    status = await second.until_phase("Failed")
    assert "belongs to another object" in status["error"]
    assert status["reason"] == "RequestIdTaken"
    await first.report(0, 1, request_id=request_id)
    await job.complete(0, 1)
    await first.until_phase("Complete")


async def test_the_ttl_removes_the_object_and_the_row_stays(make: Make, operated_records: Records) -> None:
    batch = await make("short", ttlSecondsAfterFinished=0)
    job = await batch.job()
    await batch.report(0, 1)
    await job.complete(0, 1)
    await until(lambda: batch.objects.is_gone(batch.name))
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert row.status == "complete"


async def test_a_deletion_while_it_runs_leaves_nothing(make: Make, operated_records: Records) -> None:
    batch = await make("deleted")
    job = await batch.job()
    await job.run(0, 1)
    await batch.report(0)
    await batch.objects.delete(batch.name)
    await until(lambda: _is_empty(batch))
    await job.remove_pods()
    await until(lambda: batch.objects.is_gone(batch.name))
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert (row.status, row.error) == ("failed", "deleted")
    assert list(batch.store.list(keys.batch_prefix(batch.uid))) == []


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
async def test_a_webhook_is_sent_and_shown(make: Make, *, is_signed: bool) -> None:
    async with Receiver() as receiver:
        webhook: dict[str, Any] = {"url": receiver.url("/hook")}
        if is_signed:
            webhook["secretRef"] = {"name": await _new_secret(make)}
        batch = await make("hooked", webhook=webhook)
        await batch.finish()
        shown = await batch.objects.until_status(
            batch.name, lambda status: condition(status, "WebhookDelivered").get("status") == "True"
        )
        (request,) = receiver.requests
    ended = {"state": "delivered", "tries": 1}
    delivery = {"id": request.headers["webhook-id"], "attempt": 1, "url": webhook["url"], **ended}
    assert shown["webhook"] == {**ended, "deliveries": [delivery]}
    assert json.loads(request.body)["status"] == "complete"
    assert ("webhook-signature" in request.headers) == is_signed
    for secret in (SECRET, NEW_SECRET) if is_signed else ():
        assert Webhook(secret).verify(request.body, request.headers)["status"] == "complete"
    await batch.until_events("WebhookDelivered")


async def _new_secret(make: Make) -> str:
    name = new_name("secret")
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"secret": f"{SECRET}\n{NEW_SECRET}\n"},
    }
    batch = await make("holder", suspend=True)
    await batch.objects.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", json=body)
    return name


async def test_a_webhook_without_its_secret_says_so(make: Make) -> None:
    async with Receiver() as receiver:
        webhook = {"url": receiver.url("/never"), "secretRef": {"name": "no-such-secret"}}
        batch = await make("unsigned", webhook=webhook)
        await batch.finish()
        status = await batch.objects.until_status(
            batch.name, lambda status: condition(status, "WebhookDelivered").get("reason") == "Retrying"
        )
        assert "no Secret no-such-secret" in condition(status, "WebhookDelivered")["message"]
        assert receiver.requests == []


async def test_another_attempt_is_an_event(make: Make) -> None:
    batch = await make("again")
    job = await batch.job()
    await batch.report(0, 1)
    await job.complete(0, 1)
    await batch.until_phase("Complete")
    await batch.objects.change(batch.name, attempt=2)
    status = await batch.objects.until_status(batch.name, lambda now: now.get("attempt") == 2)
    assert status["images"]["total"] in {0, 2}
    status = await batch.objects.until_status(
        batch.name, lambda now: now.get("attempt") == 2 and now["phase"] == "Complete"
    )
    assert status["images"]["succeeded"] == 2, "nothing had failed, so nothing is done again"
    await batch.until_events("AttemptStarted")


async def test_a_deleted_job_is_made_again_over_what_is_open(make: Make) -> None:
    batch = await make("remade")
    job = await batch.job()
    await batch.report(1)
    await job.complete(1)
    await batch.objects.until_status(batch.name, lambda status: status.get("progress") == "1/2")
    uid = job.job["metadata"]["uid"]
    path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job.name}"
    await batch.objects.ask("DELETE", path, json={"propagationPolicy": "Background"})
    again = await batch.job(lambda found: found["metadata"]["uid"] != uid)
    assert again.shards == (0,)
    await batch.report(0)
    await again.complete(0)
    await batch.until_phase("Complete")


async def test_parallelism_may_change(make: Make) -> None:
    batch = await make("wider", sharding={"rowsPerShard": 1, "parallelism": 1})
    await batch.job(lambda job: job["spec"]["parallelism"] == 1)
    await batch.objects.change(batch.name, sharding={"rowsPerShard": 1, "parallelism": 7})
    await batch.job(lambda job: job["spec"]["parallelism"] == ROWS)


async def test_expiring_links_make_a_new_job(make: Make) -> None:
    batch = await make("expiring")
    job = await batch.job()
    uid, path = job.job["metadata"]["uid"], f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job.name}"
    soon = {"metadata": {"annotations": {"imagebatch.dev/links-until": "2026-01-01T00:00:00+00:00"}}}
    merge = {"Content-Type": "application/merge-patch+json"}
    await batch.objects.ask("PATCH", path, json=soon, headers=merge)
    await batch.job(lambda found: found["metadata"]["uid"] != uid)


async def test_a_lost_row_is_written_again_from_its_object(make: Make, operated_records: Records) -> None:
    batch = await make("lost-row")
    job = await batch.job()
    await operated_records.delete(batch.uid)
    await batch.report(0, 1)
    await job.complete(0, 1)
    await batch.until_phase("Complete")
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert (row.status, row.counts.succeeded) == ("complete", 2)


async def test_the_operator_says_how_it_is(operator: OperatorProcess, make: Make) -> None:
    batch = await make("counted")
    await batch.finish()
    async with httpx.AsyncClient(base_url=operator.url, trust_env=False) as client:
        live, ready, metrics = [await client.get(path) for path in ("/healthz", "/readyz", "/metrics")]
    assert (live.json()["status"], ready.json()) == ("ok", {"status": "ready"})
    assert 'imagebatch_batches_ended_total{phase="Complete"}' in metrics.text
    assert "imagebatch_reconciles_total" in metrics.text
