"""What the client decides without any I/O: documents, refusals, repetition, signatures, fields."""

import inspect
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

import imagebatch_client
from imagebatch_api import fields as api_fields
from imagebatch_client import (
    ApiError,
    AsyncClient,
    Batch,
    Client,
    ImageBatchError,
    NoAnswerError,
    NotFoundError,
    SignatureError,
    TokenError,
    UnauthorizedError,
    UnexpectedAnswerError,
    calls,
    verify,
)
from imagebatch_client.calls import Answer
from imagebatch_client.fields import Options, field_name, form
from imagebatch_client.repeating import MAX_PAUSE_S, PATIENCE_S, PAUSES_S, Repeating
from imagebatch_testing.shop_and_system import SECRET

STATUS = {
    "request_id": "r1", "status": "failed", "output_csv": "http://s3.test/o.csv", "error": "no image succeeded",
    "phase": "Failed", "message": "0 of 2 images", "reason": "NoImageSucceeded", "waiting": None, "progress": 1.0,
    "rows": 1, "images": {"total": 2, "succeeded": 0, "failed": 2, "skipped": 0}, "bytes": {"in": 10, "out": 4},
    "failures": {"http_status": 2}, "quality": None, "errors_csv": None, "report_csv": None,
    "created_at": "2026-03-01T12:00:00.000Z", "finished_at": "2026-03-01T12:01:07.412Z",
}  # fmt: skip


def answer(status: int = 200, body: Any = None, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, content, {name.replace("_", "-"): value for name, value in headers.items()})


def refused(status: int, code: str, **headers: str) -> Answer:
    body = {"title": "No", "status": status, "detail": "it is so", "errors": [{"code": code, "message": "m"}]}
    return answer(status, body, **headers)


# -- documents -------------------------------------------------------------------------------------------


def test_a_batch_says_what_its_document_says() -> None:
    batch = calls.answered(calls.batch("r1"), answer(body={**STATUS, "of a newer server": 1}))
    assert (batch.id, batch.is_finished, batch.is_complete) == ("r1", True, False)
    assert (batch.images.done, batch.bytes.saved, batch.failures) == (2, 6, {"http_status": 2})
    assert batch.created_at is not None
    assert batch.finished_at is not None
    assert (batch.finished_at - batch.created_at).total_seconds() == pytest.approx(67.412)
    assert batch.document["of a newer server"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"request_id": "r1"}',
        json.dumps({**STATUS, "created_at": "today"}).encode(),
    ],
)
def test_what_is_no_document_is_told(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError, match=r"GET /status/r1"):
        calls.answered(calls.batch("r1"), answer(body=body))


@pytest.mark.parametrize("name", ["Batch", "Accepted", "Checked", "Image", "Delivery", "WebhookTest", "Page"])
def test_documents_are_frozen_and_say_nothing_twice(name: str) -> None:
    kind = getattr(imagebatch_client, name)
    assert kind.__dataclass_params__.frozen
    assert not kind.__dataclass_fields__["document"].repr


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("r1", "/status/r1"),
        ("a/../b", "/status/a%2F..%2Fb"),
        ("..", "/status/%2E%2E"),
        ("a?b#c", "/status/a%3Fb%23c"),
    ],
)
def test_an_id_is_one_segment_of_a_path_whatever_it_is(text: str, path: str) -> None:
    assert calls.batch(text).path == path


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unknown_token", UnauthorizedError),
        (404, "unknown_request", NotFoundError),
        (409, "still_running", ApiError),
        (422, "wrong_header", ApiError),
        (503, "not_accepted", ApiError),
    ],
)
def test_a_problem_is_an_error_with_all_that_it_says(status: int, code: str, kind: type[ApiError]) -> None:
    with pytest.raises(kind, match="it is so") as caught:
        calls.answered(calls.batch("r1"), refused(status, code, retry_after="7"))
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (status, code, 7.0)
    assert isinstance(caught.value, ImageBatchError)


def test_a_proxys_page_is_an_error_that_may_pass_and_anothers_is_not() -> None:
    with pytest.raises(ApiError) as caught:
        calls.answered(calls.batch("r1"), answer(502, b"<html>"))
    assert caught.value.code == "unavailable"
    with pytest.raises(UnexpectedAnswerError, match="no ImageBatch server: HTTP 404"):
        calls.answered(calls.batch("r1"), answer(404, b"<html>"))


def test_a_signed_link_is_not_shown_in_an_error() -> None:
    error = calls.refusal_of_link("https://s3.test/o.csv?X-Amz-Signature=secret", answer(403, b"<Error/>"))
    assert str(error) == "https://s3.test/o.csv answers with HTTP 403"


# -- repetition ------------------------------------------------------------------------------------------

LOST = NoAnswerError("lost", was_sent=True)
NOBODY = NoAnswerError("refused", was_sent=False)


def test_a_lost_answer_is_asked_for_again_with_growing_pauses() -> None:
    repeating = Repeating()
    assert [repeating.pause_s(LOST) for _ in range(7)] == [*PAUSES_S, MAX_PAUSE_S, MAX_PAUSE_S]
    for _ in range(int((PATIENCE_S - sum(PAUSES_S)) // MAX_PAUSE_S) - 2):
        repeating.pause_s(LOST)
    with pytest.raises(NoAnswerError):
        repeating.pause_s(LOST)


def test_where_nobody_listens_from_the_start_it_is_told_at_once() -> None:
    with pytest.raises(NoAnswerError):
        Repeating().pause_s(NOBODY)
    repeating = Repeating()
    repeating.pause_s(LOST)
    assert repeating.pause_s(NOBODY) == PAUSES_S[1]  # it is being started again


@pytest.mark.parametrize(
    ("status", "code", "is_repeated"),
    [
        (409, "upload_running", True), (429, "too_many_uploads", True), (503, "outcome_unknown", True),
        (502, "unavailable", True), (422, "wrong_header", False), (409, "conflict", False), (401, "x", False),
    ],
)  # fmt: skip
def test_only_what_may_pass_is_repeated(status: int, code: str, is_repeated: bool) -> None:
    error = calls.refusal(refused(status, code, retry_after="3"))
    assert isinstance(error, ApiError)
    if is_repeated:
        assert Repeating().pause_s(error) == 3.0
    else:
        with pytest.raises(ApiError):
            Repeating().pause_s(error)


# -- signatures ------------------------------------------------------------------------------------------

OTHER = "whsec_" + "A" * 32
NOW = 1_772_366_400


def signed(secret: str = SECRET, body: str = "{}", at: int = NOW) -> dict[str, str]:
    signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body)
    return {"Webhook-Id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}


def test_a_webhook_is_verified_as_the_standards_own_library_signs_it() -> None:
    verify(SECRET, signed(), b"{}", now_s=NOW + 299)
    verify(SECRET, signed(), b"{}", now_s=NOW + 10**6, tolerance_s=None)


def test_while_a_secret_is_replaced_either_will_do() -> None:
    both = signed() | {
        "webhook-signature": f"{signed(OTHER)['webhook-signature']} {signed()['webhook-signature']}"
    }
    verify(SECRET, both, b"{}", now_s=NOW)
    verify(f"{OTHER}\n{SECRET}", signed(), b"{}", now_s=NOW)


@pytest.mark.parametrize(
    ("secret", "headers", "body", "now_s", "why"),
    [
        (OTHER, signed(), b"{}", NOW, "not that of this secret"),
        (SECRET, signed(), b"{} ", NOW, "not that of this secret"),
        (SECRET, signed() | {"webhook-signature": "v1,"}, b"{}", NOW, "not that of this secret"),
        (SECRET, signed() | {"webhook-signature": "v1,ü"}, b"{}", NOW, "not that of this secret"),
        (SECRET, signed(), b"{}", NOW + 301, "more than 300 s"),
        (SECRET, signed(), b"{}", NOW - 301, "more than 300 s"),
        (SECRET, signed() | {"webhook-timestamp": "now"}, b"{}", NOW, "no number of seconds"),
        (SECRET, {}, b"{}", NOW, "webhook-id is missing"),
        ("", signed(), b"{}", NOW, "no secret"),
        ("whsec_ü", signed(), b"{}", NOW, "not whsec_"),
    ],
)
def test_what_is_not_signed_with_the_secret_is_refused(
    secret: str, headers: dict[str, str], body: bytes, now_s: float, why: str
) -> None:
    with pytest.raises(SignatureError, match=why):
        verify(secret, headers, body, now_s=now_s)


# -- fields and methods ----------------------------------------------------------------------------------


def test_the_options_are_the_fields_of_the_api() -> None:
    assert {field_name(name) for name in Options.__annotations__} == set(api_fields.NAMES)


def test_the_fields_that_the_server_needs_first_go_into_the_query() -> None:
    assert api_fields.NEEDED_FIRST <= calls.BEFORE_THE_FILE
    call = calls.upload(
        form({"min_quality": 20, "progressive": True, "rows_per_shard": 5, "webhook_url": "u"}), "k"
    )
    assert (call.form, call.query) == (
        {"minQuality": "20", "progressive": "true", "webhook_url": "u"},
        {"rowsPerShard": "5"},
    )


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in found if name[0] != "_"}

    assert methods(Client) == methods(AsyncClient)


def test_a_client_shows_no_secret() -> None:
    client = Client("https://anna:password@images.example/", "ib_token")
    shown = f"{client!r} {client.__dict__!r}"
    assert "https://images.example" in shown
    assert not re.search("password|ib_token", shown)
    with pytest.raises(TokenError) as caught:
        Client("http://127.0.0.1", "tökén")
    assert "tök" not in str(caught.value)
    with pytest.raises(NoAnswerError, match="no URL of a server") as refused:
        Client("http://anna:password@images.example:port/")
    assert "password" not in str(refused.value)


def test_certificates_are_verified() -> None:
    client = Client("https://images.example")
    context = client._http._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert (context.check_hostname, context.verify_mode.name) == (True, "CERT_REQUIRED")
    assert "verify" not in inspect.signature(Client).parameters


def test_batch_needs_no_more_than_three_words() -> None:
    assert Batch(id="r1", status="pending", phase="Pending").images.total == 0
