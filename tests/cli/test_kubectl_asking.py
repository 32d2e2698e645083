"""What `kubectl imagebatch` makes of the operator's answers: without a cluster."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import httpx
import pytest

from imagebatch.csv import report_page, rows
from imagebatch.errors import InputRefusedError, NotFoundError
from imagebatch.storage.store import CSV
from imagebatch_cli.images import PageQuery, show_page
from imagebatch_cli.kubectl import changes
from imagebatch_cli.kubectl.asking import is_answer
from imagebatch_cli.kubectl.documents import deliveries_of, webhook_test_of
from imagebatch_cli.kubectl.errors import LinkError
from imagebatch_cli.kubectl.links import FirstThatAnswers, LinkedFile, origin
from imagebatch_client import AsyncClient, Image, NoAnswerError, Page
from imagebatch_testing.memory_store import MemoryStore

ASKED = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY = "report.csv"
PUBLIC, OWN = "https://cdn.test/report.csv?secret=1", "https://s3.test/b/report.csv?secret=2"


@pytest.mark.parametrize(
    ("answered", "is_so"),
    [
        ({}, False),
        ({"requestedAt": "2026-05-01T12:00:00+00:00"}, True),
        ({"requestedAt": "2026-05-01T12:00:01Z"}, True),
        ({"requestedAt": "2026-05-01T11:59:59Z"}, False),
        ({"requestedAt": "2026-05-01T14:00:00+02:00", "error": "e"}, True),
        ({"requestedAt": "2026-05-01T13:00:00"}, False),
        ({"requestedAt": "now, please"}, False),
    ],
    ids=["none", "this", "a later one", "an earlier one", "a refusal", "without a zone", "by hand"],
)
def test_an_answer_is_to_this_question_or_to_a_later_one(answered: dict[str, str], is_so: bool) -> None:
    assert is_answer(answered, ASKED) is is_so


# -- what links lead to --------------------------------------------------------------------------------------


def a_report(images: int) -> bytes:
    cells = ["1", "Shoe", "https://a.test/1.jpg", "", "http_status", "HTTP 404", *[""] * 10]
    table = [rows.REPORT_COLUMNS, *([str(row), "1", *cells] for row in range(1, images + 1))]
    return "".join(rows.record(line, "\n", ",") for line in table).encode()


class Bucket:
    """Answers signed links as S3 does; `refused` hosts know none of them."""

    def __init__(self, data: bytes, refused: str = "") -> None:
        self.data, self.refused, self.etag = data, refused, '"e1"'
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.host)
        if request.url.host == self.refused:
            return httpx.Response(403, text=f"denied {request.url}")
        if request.headers.get("if-match", self.etag) != self.etag:
            return httpx.Response(412)
        first, last = request.headers["range"].removeprefix("bytes=").split("-")
        part = self.data[int(first) : int(last) + 1 if last else None]
        size = f"bytes {first}-{int(first) + len(part) - 1}/{len(self.data)}"
        return httpx.Response(206, content=part, headers={"content-range": size, "etag": self.etag})


def linked(handler: Callable[[httpx.Request], httpx.Response], *links: str) -> LinkedFile:
    return LinkedFile(links, httpx.Client(transport=httpx.MockTransport(handler)))


def test_a_report_is_read_by_its_link_as_from_the_store() -> None:
    data, store = a_report(5), MemoryStore()
    bucket = Bucket(data)
    bucket.etag = f'"{store.put(KEY, data, CSV).etag}"'
    after = None
    while True:
        page = report_page.read(linked(bucket, OWN), KEY, after, 2, None)
        assert page == report_page.read(store, KEY, after, 2, None)
        after = page.next_after
        if after is None:
            break


def test_the_first_link_that_answers_is_taken() -> None:
    bucket = Bucket(a_report(1), refused="cdn.test")
    assert len(report_page.read(linked(bucket, PUBLIC, OWN), KEY, None, 9, None).images) == 1
    assert bucket.asked == ["cdn.test", "s3.test", "s3.test", "s3.test"]


def test_when_no_link_answers_each_is_told_without_its_signature() -> None:
    def dead(request: httpx.Request) -> httpx.Response:
        if request.url.host == "cdn.test":
            return httpx.Response(200, content=b"whole")
        raise httpx.ConnectError("no such host")

    with pytest.raises(ExceptionGroup) as raised:
        linked(dead, PUBLIC, OWN).head(KEY)
    assert list(map(str, raised.value.exceptions)) == [
        "https://cdn.test/report.csv answers with HTTP 200",
        "no answer from https://s3.test/b/report.csv: no such host",
    ]


def test_a_report_that_is_replaced_while_it_is_read_is_told() -> None:
    bucket = Bucket(a_report(3))
    file = linked(bucket, OWN)
    stored = file.head(KEY)
    bucket.etag = '"e2"'
    with pytest.raises(NotFoundError, match="replaced"):
        file.get(KEY, length=9, etag=stored.etag)


def test_what_does_not_say_a_files_size_is_no_bucket() -> None:
    with pytest.raises(LinkError, match="parts of files"):
        linked(lambda _: httpx.Response(206, content=b"x"), OWN).head(KEY)


class Downloading:
    """A client that reaches one host only."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.saved: list[str] = []

    async def download(self, url: str, path: str | Path) -> None:  # noqa: ARG002
        if origin(url) != f"https://{self.host}":
            raise NoAnswerError(f"no answer from {origin(url)}", was_sent=False)
        self.saved.append(url)


@pytest.mark.anyio
async def test_a_download_takes_the_first_link_that_can_be_followed() -> None:
    client = Downloading("s3.test")
    downloads = FirstThatAnswers(cast(AsyncClient, client), {PUBLIC: (OWN,)})
    await downloads.download(PUBLIC, "r.csv")
    await downloads.download("https://s3.test/output.csv", "o.csv")
    assert client.saved == [OWN, "https://s3.test/output.csv"]
    with pytest.raises(ExceptionGroup) as raised:
        await FirstThatAnswers(cast(AsyncClient, Downloading("nobody.test")), {PUBLIC: (OWN,)}).download(
            PUBLIC, "r.csv"
        )
    assert len(raised.value.exceptions) == 2


# -- what is shown -------------------------------------------------------------------------------------------


def test_a_page_is_a_line_an_image_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryStore()
    store.put(KEY, a_report(2), CSV)
    found = report_page.read(store, KEY, None, 1, "failed")
    page = Page.read({"images": found.images, "next_after": found.next_after}, "images", Image.read)
    show_page(page, PageQuery(1, None, "failed"), "imagebatch images r1", as_json=False)
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:4] == ["1", "1", "failed", "https://a.test/1.jpg"]
    assert f"imagebatch images r1 --outcome failed --limit 1 --after {found.next_after}" in said.err
    show_page(page, PageQuery(1, None, None), "imagebatch images r1", as_json=True)
    assert json.loads(capsys.readouterr().out)["next_after"] == found.next_after


def test_the_status_of_webhooks_is_shown_as_the_api_does() -> None:
    shown = {"id": "msg_1", "attempt": 2, "url": "http://h/", "state": "pending", "tries": 1}
    body = {"status": {"webhook": {"deliveries": [{**shown, "nextTryTime": "2026-05-01T12:00:00Z"}]}}}
    (delivery,) = deliveries_of(body)
    assert delivery.document == {
        "webhook_id": "msg_1",
        "attempt": 2,
        "url": "http://h/",
        "state": "pending",
        "tries": 1,
        "last_error": None,
        "next_try_at": "2026-05-01T12:00:00Z",
    }
    assert deliveries_of({}) == []
    tested = webhook_test_of({"requestedAt": "x", "id": "msg_test_1", "delivered": True})
    assert tested.document == {"webhook_id": "msg_test_1", "delivered": True, "error": None}


@pytest.mark.parametrize(
    ("spec", "words"),
    [({}, "has no webhook"), ({"webhook": {"url": "http://h/"}}, "not at its end")],
    ids=["without one", "before its end"],
)
def test_what_has_no_webhook_to_send_is_refused_here(spec: dict[str, object], words: str) -> None:
    with pytest.raises(InputRefusedError, match=words) as refused:
        changes.check_redeliverable({"metadata": {}, "spec": spec})
    assert refused.value.problems[0].code == "no_webhook"
