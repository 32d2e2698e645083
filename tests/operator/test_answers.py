"""What users ask by annotations, answered once: without a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from imagebatch.batch.lifecycle import Phase
from imagebatch.custom_resource import (
    LINKS_REQUESTED_AT,
    MAX_ASKED_CHARS,
    REDELIVERY_REQUESTED_AT,
    WEBHOOK_TEST_REQUESTED_AT,
    ImageBatch,
)
from imagebatch.errors import StoreError
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import DeliveryState, RecordedDelivery, Records, Request
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import CSV, Stored
from imagebatch_operator.answers import RETRY_S, Answers
from imagebatch_operator.kube import Kube, KubeError
from imagebatch_operator.links import LIFETIME, NOT_ENDED, NOTHING, Links
from imagebatch_operator.look import Look, earliest
from imagebatch_operator.status_writer import PublicLinks, StatusWriter
from imagebatch_operator.webhook_tests import LOOK_S, WebhookTests
from imagebatch_operator.webhooks import LOST, Seen, Webhooks
from imagebatch_testing.memory_store import MemoryStore

from .conftest import MakeBatch, a_request

pytestmark = pytest.mark.anyio

ASKED = "2026-05-01T12:00:00Z"
REPORT = keys.image_report("r1")


@dataclass
class RecordingKube:
    """Keeps what is written to the one object that there is."""

    status: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    error: KubeError | None = None

    async def apply_status(self, batch: dict[str, Any], status: dict[str, Any], _: str) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.status = status
        return {**batch, "status": {**batch["status"], **status}}

    async def create_event(self, event: dict[str, Any]) -> None:
        self.events.append(event["reason"])


class LostStore(MemoryStore):
    def head(self, key: str) -> Stored | None:
        raise StoreError(f"S3: {key}: no answer")


@pytest.fixture
def kube() -> RecordingKube:
    return RecordingKube()


@pytest.fixture
def store() -> MemoryStore:
    found = MemoryStore()
    found.put(REPORT, b"x", CSV)
    return found


def status_writer(kube: RecordingKube, store: MemoryStore) -> StatusWriter:
    return StatusWriter(cast(Kube, kube), PublicLinks(store, ""))


def links(kube: RecordingKube, store: MemoryStore) -> Links:
    return Links(AsyncStore(store), status_writer(kube, store))


def at_its_end(**fields: Any) -> Request:
    found = a_request(Phase.COMPLETE, status="complete", errors_key=keys.errors("r1"), report_key=REPORT)
    return replace(found, **fields)


def asking(a_batch: MakeBatch, status: Mapping[str, Any] | None = None, asked: str = ASKED) -> ImageBatch:
    return a_batch(status=dict(status or {}), annotations={LINKS_REQUESTED_AT: asked})


async def test_links_lead_to_what_is_there(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore
) -> None:
    look = await links(kube, store).keep(asking(a_batch), at_its_end())
    found = kube.status["links"]
    assert (found["requestedAt"], "errorsCsv" in found, len(found["reportCsv"])) == (ASKED, False, 1)
    left = datetime.fromisoformat(found["expiresAt"]) - datetime.now(UTC)
    assert timedelta(0) < left <= LIFETIME
    assert (look.due_s, look.batch.status["links"]) == (LIFETIME.total_seconds(), found)
    assert kube.events == ["LinksSigned"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [(a_request(Phase.RUNNING), NOT_ENDED), (at_its_end(errors_key=None, report_key=None), NOTHING)],
    ids=["runs", "left nothing"],
)
async def test_where_there_are_none_that_is_said(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore, request_: Request, error: str
) -> None:
    look = await links(kube, store).keep(asking(a_batch), request_)
    assert (kube.status, look.due_s) == ({"links": {"requestedAt": ASKED, "error": error}}, None)


async def test_a_question_is_answered_once_and_another_is_new(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore
) -> None:
    until = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    answered = {"links": {"requestedAt": ASKED, "expiresAt": until}}
    look = await links(kube, store).keep(asking(a_batch, answered), at_its_end())
    assert kube.status == {}
    assert look.due_s is not None
    assert 50 < look.due_s <= 60
    await links(kube, store).keep(asking(a_batch, answered, "later"), at_its_end())
    assert kube.status["links"]["requestedAt"] == "later"


@pytest.mark.parametrize("is_asked", [True, False])
async def test_links_that_have_expired_are_removed(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore, *, is_asked: bool
) -> None:
    status = {"links": {"requestedAt": ASKED, "reportCsv": ["l"], "expiresAt": "2026-05-01T12:10:00Z"}}
    batch = asking(a_batch, status) if is_asked else a_batch(status=status)
    look = await links(kube, store).keep(batch, at_its_end())
    assert (kube.status, look.due_s) == ({"links": {"requestedAt": ASKED}}, None)
    kube.status = {}
    assert await links(kube, store).keep(look.batch, at_its_end()) == Look(look.batch)
    assert kube.status == {}


def test_a_value_that_is_too_long_is_cut_and_answered_once(a_batch: MakeBatch) -> None:
    batch = asking(a_batch, asked="x" * 9000)
    asked = batch.asked(LINKS_REQUESTED_AT, {})
    assert len(asked) == MAX_ASKED_CHARS
    assert batch.asked(LINKS_REQUESTED_AT, {"requestedAt": asked}) == ""
    assert a_batch().asked(LINKS_REQUESTED_AT, {}) == ""


# -- webhooks ----------------------------------------------------------------------------------------------

URL = "https://hooks.example/done"
DELIVERY = RecordedDelivery("msg_1", 1, URL, "pending", 0, "", None)


@dataclass
class Outbox:
    """The deliveries of one request, and tests, which nobody sends."""

    deliveries: tuple[RecordedDelivery, ...] = ()
    tests: dict[str, DeliveryState] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    woken: int = 0

    async def of(self, _: str) -> list[RecordedDelivery]:
        return list(self.deliveries)

    async def redeliver_once(self, _: str, asked: str) -> None:
        self.asked.append(asked)

    async def add_test(self, webhook_id: str, url: str, _: str, secret: str) -> bool:
        assert (url, secret) == (URL, "")
        is_new = webhook_id not in self.tests
        self.tests.setdefault(webhook_id, DeliveryState("pending", 0, ""))
        return is_new

    async def test(self, webhook_id: str) -> DeliveryState | None:
        return self.tests.get(webhook_id)

    async def remove_test(self, webhook_id: str) -> None:
        del self.tests[webhook_id]

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


def answers(kube: RecordingKube, store: MemoryStore, outbox: Outbox) -> Answers:
    writer, records = status_writer(kube, store), cast(Records, SimpleNamespace(deliveries=outbox))
    return Answers(
        links=links(kube, store),
        tests=WebhookTests(records, writer, AddressPolicy.parse(""), outbox.wake),
        webhooks=Webhooks(records, writer, outbox.wake),
    )


def hooked(a_batch: MakeBatch, annotation: str, url: str = URL, **status: Any) -> ImageBatch:
    return a_batch({"webhook": {"url": url}}, status, annotations={annotation: ASKED})


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (at_its_end(webhook_url=None), "the batch has no webhook"),
        (
            a_request(Phase.RUNNING, webhook_url=URL),
            "the batch is not at its end: there is no webhook to send yet",
        ),
        (at_its_end(webhook_url=URL), LOST),
    ],
    ids=["without one", "runs", "lost"],
)
async def test_a_redelivery_that_can_not_be_is_refused(
    a_batch: MakeBatch,
    kube: RecordingKube,
    store: MemoryStore,
    outbox: Outbox,
    request_: Request,
    error: str,
) -> None:
    batch = hooked(a_batch, REDELIVERY_REQUESTED_AT)
    await answers(kube, store, outbox).give(batch, request_, Seen())
    assert kube.status == {"webhook": {"redelivery": {"requestedAt": ASKED, "error": error}}}
    assert kube.events == []


async def test_a_redelivery_that_could_not_be_shown_is_the_same_one_again(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore, outbox: Outbox
) -> None:
    batch, row = hooked(a_batch, REDELIVERY_REQUESTED_AT), at_its_end(webhook_url=URL)
    outbox.deliveries = (DELIVERY,)
    kube.error = KubeError(0, "no answer")
    over = Seen((replace(DELIVERY, state="delivered"),))
    for seen in (over, Seen()):  # by this operator, and by the next
        with pytest.raises(KubeError):
            await answers(kube, store, outbox).give(batch, row, seen)
    kube.error = None
    look = await answers(kube, store, outbox).give(batch, row, Seen())
    assert (len(outbox.asked), len(set(outbox.asked))) == (3, 1)
    assert look.batch.status["webhook"] == {"redelivery": {"requestedAt": ASKED}}
    assert (kube.events, outbox.woken) == (["WebhookResent"], 1)


async def test_a_test_is_looked_at_until_it_is_over(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore, outbox: Outbox
) -> None:
    batch, row = hooked(a_batch, WEBHOOK_TEST_REQUESTED_AT), a_request(Phase.RUNNING)
    for _ in range(2):
        assert await answers(kube, store, outbox).give(batch, row, Seen()) == Look(batch, LOOK_S)
    assert (len(outbox.tests), outbox.woken, kube.status) == (1, 1, {})
    (webhook_id,) = outbox.tests
    outbox.tests[webhook_id] = DeliveryState("failed", 1, "HTTP 500")
    look = await answers(kube, store, outbox).give(batch, row, Seen())
    ended = {"requestedAt": ASKED, "id": webhook_id, "delivered": False, "error": "HTTP 500"}
    assert (kube.status, look.due_s, outbox.tests) == ({"webhook": {"test": ended}}, None, {})
    assert kube.events == ["WebhookTestFailed"]


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://localhost:8080/", "http://bad_.-/"])
async def test_a_test_to_a_closed_address_is_refused(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore, outbox: Outbox, url: str
) -> None:
    batch = hooked(a_batch, WEBHOOK_TEST_REQUESTED_AT, url)
    await answers(kube, store, outbox).give(batch, a_request(Phase.RUNNING), Seen())
    answer = kube.status["webhook"]["test"]
    assert (answer["delivered"], "id" in answer, answer["error"].startswith("webhook_url:")) == (
        False,
        False,
        True,
    )
    assert outbox.tests == {}


# -- all of them -------------------------------------------------------------------------------------------


async def test_where_nothing_is_asked_nothing_is_done(
    a_batch: MakeBatch, kube: RecordingKube, outbox: Outbox
) -> None:
    batch = a_batch()
    assert await answers(kube, LostStore(), outbox).give(batch, at_its_end(), Seen()) == Look(batch)
    assert kube.status == {}


async def test_what_can_not_be_answered_now_holds_up_nothing(
    a_batch: MakeBatch, kube: RecordingKube, store: MemoryStore, outbox: Outbox
) -> None:
    batch = asking(a_batch)
    assert await answers(kube, LostStore(), outbox).give(batch, at_its_end(), Seen()) == Look(batch, RETRY_S)
    kube.error = KubeError(422, "too long")
    assert await answers(kube, store, outbox).give(batch, at_its_end(), Seen()) == Look(batch, RETRY_S)
    kube.error = KubeError(409, "it was changed meanwhile")
    with pytest.raises(KubeError):
        await answers(kube, store, outbox).give(batch, at_its_end(), Seen())


def test_the_first_time_counts() -> None:
    assert earliest() is None
    assert earliest(None, None) is None
    assert earliest(3.0, None, 0.5) == 0.5
