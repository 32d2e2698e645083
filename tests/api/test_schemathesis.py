"""The API does what /openapi.json says: schemathesis asks it everything that follows from the description.

A live server on loopback, the real Postgres, the real S3, and tokens. All of schemathesis' checks are on.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation

from imagebatch import records
from imagebatch.batch.control import RecordedControl
from imagebatch.batch.intake import RecordedIntake
from imagebatch.net.guard import AddressPolicy
from imagebatch.storage.s3 import S3Store
from imagebatch_api import openapi, server, tokens
from imagebatch_api.app import Services, create_app
from imagebatch_api.settings import ApiSettings
from imagebatch_testing.servers import Servers

pytestmark = pytest.mark.integration

schemathesis.serializer.alias(["text/csv", "application/csv", "application/vnd.ms-excel"], "text/plain")

TOKEN = tokens.make()
DESCRIPTION = schemathesis.openapi.from_dict(openapi.document(ApiSettings(api_tokens_file=Path("tokens"))))
DESCRIPTION.config.checks.negative_data_rejection.expected_statuses += ["413", "431"]
"""Longer than the server takes: a refusal too, which schemathesis does not count as one by itself."""

KEY = "Idempotency-Key"
CSV = "Serial Number,Product Name,Input Image Urls\n1,Shoe,https://a.test/1.jpg\n"
OWN_COLUMNS = {"columns": "links=Input Image Urls", "preset": ""}
SETTINGS = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def url(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the API is served, to whoever holds `TOKEN`."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(str(tokens.entry_of("shop", TOKEN)))
    with served(servers, ApiSettings(api_tokens_file=file)) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def used_keys() -> set[str]:
    return set()


@contextmanager
def served(servers: Servers, api: ApiSettings) -> Iterator[str]:
    """Serve the API in a thread with an event loop of its own."""
    listening = server.bind("127.0.0.1", 0)
    port = listening.getsockname()[1]

    async def serve(is_ready: threading.Event, stopping: list[asyncio.Event]) -> None:
        store = S3Store(servers.s3)
        async with records.connect(servers.database) as connected:
            intake = RecordedIntake(connected, lambda _: None)
            owed = asyncio.Event()
            sending = asyncio.create_task(take_for_sent(connected, owed))
            control = RecordedControl(connected, lambda _: None, owed.set)
            app = create_app(Services(store, connected, intake, control, AddressPolicy()), api)
            serving = asyncio.create_task(server.serve_on(app, listening))
            stopping.append(asyncio.Event())
            is_ready.set()
            await stopping[0].wait()
            serving.cancel()
            sending.cancel()
            await asyncio.wait([serving, sending])
        store.close()

    ready, stop = threading.Event(), list[asyncio.Event]()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(ready, stop)))
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(stop[0].set)
    thread.join()
    loop.close()


async def take_for_sent(connected: records.Records, owed: asyncio.Event) -> None:
    """Deliver what is due, to nobody: the tests name receivers that there are not."""
    while True:
        await owed.wait()
        owed.clear()
        for delivery in await connected.claim_deliveries(10, 60):
            await connected.settle_delivery(delivery.webhook_id, delivered=True)


def give_a_right_file(case: Case[Any]) -> None:
    """Put a usable CSV in place of any text, so that it is the options that are judged.

    No JSON schema can say what a CSV is, that it has to be in the encoding that another field declares, that
    it comes last, has the columns that other fields name, or that a field may be in the query or in the form,
    but not in both.
    """
    if isinstance(case.body, dict):
        if not is_wrong(case, ParameterLocation.QUERY):
            case.query = without(case.query, *case.body)
        if isinstance(case.body.get("file"), str):
            case.body = {**as_ascii(without(case.body, "file")), "file": CSV}
    elif isinstance(case.body, str | bytes):
        case.body = CSV
    case.query = as_ascii(case.query)
    if isinstance(case.body, dict) and not is_wrong(case, ParameterLocation.BODY):
        case.body = with_own_columns(case.body)
    if not is_wrong(case, ParameterLocation.QUERY):
        case.query = with_own_columns(case.query)


def give_a_right_cursor(case: Case[Any]) -> None:
    """Leave `after` out: no JSON schema can say which batches there are, nor which cursors were given."""
    if "after" in case.query and not is_wrong(case, ParameterLocation.QUERY):
        case.query = without(case.query, "after")


def give_a_fresh_key(case: Case[Any], used: set[str]) -> None:
    """Leave an Idempotency-Key out that was used: with other options it is refused, as it should be."""
    key = case.headers.get(KEY)
    if key in used and not is_wrong(case, ParameterLocation.HEADER):
        del case.headers[KEY]
    if key is not None:
        used.add(key)


def is_wrong(case: Case[Any], part: ParameterLocation) -> bool:
    """Whether schemathesis made this part of the request to be refused."""
    made = case.meta.components.get(part) if case.meta is not None else None
    return made is not None and made.mode.is_negative


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def as_ascii(values: dict[str, Any]) -> dict[str, Any]:
    """With an encoding, if any is offered, in which `CSV` is the same bytes."""
    is_wide = values.get("encoding") == "utf-16"
    return {**values, "encoding": "shift_jis"} if is_wide else values


def with_own_columns(values: dict[str, Any]) -> dict[str, Any]:
    """With the columns that `CSV` has, where any are named."""
    return {**values, **{name: OWN_COLUMNS[name] for name in OWN_COLUMNS.keys() & values.keys()}}


class FromUploadToStatus(DESCRIPTION.exclude(path_regex="/events$").as_state_machine()):  # type: ignore[misc]
    """What an upload answers leads to its status, and to no errors file as long as nothing has failed.

    Without the events, which end when a batch does: here none is run.
    """

    url: str
    used_keys: set[str]

    def before_call(self, case: Case[Any]) -> None:
        give_a_fresh_key(case, self.used_keys)
        give_a_right_cursor(case)
        give_a_right_file(case)

    def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:  # noqa: ARG002
        return {"base_url": self.url, "headers": {"Authorization": f"Bearer {TOKEN}"}}


def test_what_an_upload_answers_leads_to_its_status(url: str, used_keys: set[str]) -> None:
    FromUploadToStatus.url, FromUploadToStatus.used_keys = url, used_keys
    FromUploadToStatus.run(settings=settings(SETTINGS, max_examples=10, stateful_step_count=4))


@DESCRIPTION.parametrize()
@SETTINGS
def test_the_api_is_as_described(case: Case[Any], url: str, used_keys: set[str]) -> None:
    give_a_fresh_key(case, used_keys)
    give_a_right_cursor(case)
    give_a_right_file(case)
    case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"})
