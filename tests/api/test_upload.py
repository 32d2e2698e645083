"""POST /upload: what is taken in, and what is refused without a trace."""

import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import httpx
import pytest

from imagebatch.batch import plan
from imagebatch.batch.intake import RecordedIntake
from imagebatch.csv.columns import PRESETS
from imagebatch.csv.encodings import ENCODINGS
from imagebatch.errors import ConflictError, StoreError
from imagebatch.storage import keys
from imagebatch_testing.memory_store import MemoryStore, held

pytestmark = pytest.mark.anyio

HEADER = "Serial Number,Product Name,Input Image Urls\n"
GOOD = f'{HEADER}1,Shoe,"https://a.test/1.jpg,https://a.test/2.jpg"\n2,Hat,https://a.test/3.png\n'
Parts = list[tuple[str, tuple[str | None, bytes | str, str | None]]]


def the_file(text: str | bytes = GOOD, name: str | None = "a.csv", kind: str | None = "text/csv") -> Any:
    return ("file", (name, text, kind))


def a_field(name: str, value: str) -> Any:
    return (name, (None, value, None))


def multipart(parts: Parts, boundary: str = "xxxx") -> tuple[bytes, dict[str, str]]:
    """A form with its parts in just this order, and without a Content-Type where a part has none."""
    body = b""
    for name, (filename, content, kind) in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += f'; filename="{filename}"'.encode() if filename is not None else b""
        body += f"\r\nContent-Type: {kind}".encode() if kind else b""
        body += b"\r\n\r\n" + (content.encode() if isinstance(content, str) else content) + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


def input_of(store: MemoryStore, response: httpx.Response) -> tuple[str, str]:
    """The keys of an accepted upload's canonical CSV and plan."""
    given, made = (found.key for found in store.list(keys.batch_prefix(response.json()["request_id"])))
    return given, made


async def post(
    client: httpx.AsyncClient, *parts: Any, url: str = "/upload", **headers: str
) -> httpx.Response:
    body, own = multipart(list(parts))
    return await client.post(url, content=body, headers={**own, **headers})


def codes(response: httpx.Response) -> list[str]:
    assert response.headers["content-type"] == "application/problem+json"
    return [problem["code"] for problem in response.json()["errors"]]


def stored(store: MemoryStore) -> list[str]:
    return held(store)


# -- taken in --------------------------------------------------------------------------------------------


async def test_an_upload_is_stored_planned_and_submitted(
    client: httpx.AsyncClient, store: MemoryStore, intake: Any
) -> None:
    response = await post(client, the_file())
    assert response.status_code == 202
    document = response.json()
    request_id = document["request_id"]
    assert document == {
        "request_id": request_id,
        "status": "pending",
        "status_url": f"http://127.0.0.1:8080/status/{request_id}",
        "rows": 2,
        "images": 3,
        "warnings": [],
    }
    assert response.headers["location"] == f"/status/{request_id}"
    (taken,) = intake.taken
    assert len(taken.upload) == 32
    assert stored(store) == [
        keys.canonical_input(request_id, taken.upload),
        keys.plan(request_id, taken.upload),
    ]
    assert (taken.request_id, taken.rows, taken.images, taken.webhook_url) == (request_id, 2, 3, None)


@pytest.mark.parametrize("is_last", [True, False], ids=["after the file, as curl does", "before the file"])
async def test_fields_may_stand_on_either_side_of_the_file(
    client: httpx.AsyncClient, intake: Any, is_last: bool
) -> None:
    options = [
        a_field("webhook_url", "https://hook.test/x"),
        a_field("quality", "60"),
        a_field("parallelism", "9"),
        a_field("maxFailedPercent", "0"),
        a_field("deadlineSeconds", "3600"),
        a_field("keepWorkingFilesDays", "1.5"),
        a_field("keepImagesDays", "0"),
    ]
    response = await post(client, *([the_file(), *options] if is_last else [*options, the_file()]))
    assert response.status_code == 202
    (taken,) = intake.taken
    assert taken.webhook_url == "https://hook.test/x"
    assert taken.spec["compression"]["quality"] == "60"
    assert taken.spec["sharding"]["parallelism"] == 9
    assert taken.spec["limits"] == {"maxFailedPercent": 0, "deadlineSeconds": 3600}
    assert taken.spec["keepDays"] == {"workingFiles": 1.5, "images": 0}


async def test_a_bare_csv_body_has_its_fields_in_the_query(client: httpx.AsyncClient, intake: Any) -> None:
    response = await client.post(
        "/upload?format=webp&webhook_url=https://hook.test/x",
        content=GOOD,
        headers={"content-type": "text/csv"},
    )
    assert response.status_code == 202
    assert intake.taken[0].spec["compression"]["format"] == "webp"
    assert intake.taken[0].webhook_url == "https://hook.test/x"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("text/csv", "a.csv"),
        ("text/csv; charset=utf-8", None),
        ("application/csv", "a.txt"),
        ("application/vnd.ms-excel", "a.csv"),
        ("text/plain", "noname"),
        ("application/octet-stream", "A.CSV"),
        (None, "a.csv"),
    ],
)
async def test_every_type_that_clients_send_for_csv_is_taken(
    client: httpx.AsyncClient, kind: str | None, name: str | None
) -> None:
    assert (await post(client, the_file(GOOD, name, kind))).status_code == 202


@pytest.mark.parametrize("url", ["/upload?rowsPerShard=1", "/upload"])
async def test_rows_per_shard_cuts_the_plan(client: httpx.AsyncClient, store: MemoryStore, url: str) -> None:
    before = [] if "?" in url else [a_field("rowsPerShard", "1")]
    response = await post(client, *before, the_file(), url=url)
    _, made = input_of(store, response)
    cut = plan.Plan.from_json(store.get(made))
    assert [shard.rows for shard in cut.shards] == [1, 1]


@pytest.mark.parametrize("how", ["query", "field", "charset"])
async def test_the_encoding_can_be_declared(client: httpx.AsyncClient, store: MemoryStore, how: str) -> None:
    text = f"{HEADER}1,Schürze,https://a.test/1.jpg\n".encode("windows-1252")
    kind = "text/csv; charset=windows-1252" if how == "charset" else "text/csv"
    before = [a_field("encoding", "windows-1252")] if how == "field" else []
    url = "/upload?encoding=windows-1252" if how == "query" else "/upload"
    response = await post(client, *before, the_file(text, "a.csv", kind), url=url)
    assert response.status_code == 202
    given, _ = input_of(store, response)
    assert "Schürze" in store.get(given).decode()


async def test_utf_16_is_known_without_its_mark(client: httpx.AsyncClient) -> None:
    response = await post(client, the_file(GOOD.encode("utf-16-le")), url="/upload?encoding=utf-16")
    assert response.status_code == 202


async def test_an_encoding_is_found_and_told(client: httpx.AsyncClient, store: MemoryStore) -> None:
    text = f"{HEADER}1,Schürze,https://a.test/1.jpg\n".encode("windows-1252")
    response = await post(client, the_file(text))
    assert [warning["code"] for warning in response.json()["warnings"]] == ["encoding_guessed"]
    given, _ = input_of(store, response)
    assert "Schürze" in store.get(given).decode()


async def test_a_refusal_names_the_field_for_the_encoding(client: httpx.AsyncClient) -> None:
    response = await post(client, the_file(HEADER.encode() + b"1,\xff,https://a.test/1.jpg\n"))
    assert "`encoding`" in response.json()["hint"]
    assert "?encoding=" not in response.json()["detail"]


async def test_the_page_offers_every_encoding(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert [name for name in (*ENCODINGS, *PRESETS) if f'<option value="{name}">' not in page] == []


async def test_empty_fields_count_as_not_given(client: httpx.AsyncClient, intake: Any) -> None:
    empty = [a_field(name, "") for name in ("webhook_url", "quality", "parallelism")]
    assert (await post(client, the_file(), *empty, a_field("encoding", ""))).status_code == 202
    assert intake.taken[0].webhook_url is None


async def test_warnings_say_which_links_will_fail(client: httpx.AsyncClient) -> None:
    response = await post(client, the_file(f"{GOOD}3,Bag,nonsense\n"))
    assert [(one["code"], one["line"]) for one in response.json()["warnings"]] == [("bad_link", 4)]


async def test_links_use_the_public_url_where_it_is_set(make_app: Any, connect: Any) -> None:
    async with connect(make_app(public_url="https://images.example.com/")) as client:
        document = (await post(client, the_file())).json()
    assert document["status_url"] == f"https://images.example.com/status/{document['request_id']}"


# -- refused ---------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[list[Any], int, str]] = {
    "no file": ([a_field("quality", "50%")], 422, "missing_file"),
    "no part": ([], 422, "missing_file"),
    "no file chosen": ([the_file(b"", "", "application/octet-stream")], 422, "missing_file"),
    "two files": ([the_file(), the_file()], 422, "duplicate_field"),
    "unknown field": ([the_file(), a_field("qualty", "50%")], 422, "unknown_field"),
    "field twice": ([the_file(), a_field("quality", "50"), a_field("quality", "60")], 422, "duplicate_field"),
    "field too long": ([the_file(), a_field("webhook_url", "x" * 9000)], 422, "field_too_long"),
    "field not UTF-8": ([the_file(), ("quality", (None, b"\xff", None))], 422, "invalid_field"),
    "bad option after": ([the_file(), a_field("quality", "0%")], 422, "invalid_option"),
    "bad option before": ([a_field("parallelism", "many"), the_file()], 422, "invalid_option"),
    "bad webhook": ([the_file(), a_field("webhook_url", "ftp://x")], 422, "invalid_webhook_url"),
    "private webhook": (
        [the_file(), a_field("webhook_url", "http://10.0.0.1/")],
        422,
        "forbidden_webhook_url",
    ),
    "rowsPerShard late": ([the_file(), a_field("rowsPerShard", "5")], 422, "field_after_file"),
    "encoding late": ([the_file(), a_field("encoding", "utf-16")], 422, "field_after_file"),
    "unknown encoding": ([a_field("encoding", "rot13"), the_file()], 422, "unknown_encoding"),
    "workbook": ([the_file(b"PK\x03\x04rest", "a.csv")], 422, "not_csv"),
    "xlsx type": (
        [the_file(b"PK", "a.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")],
        415,
        "unsupported_media_type",
    ),
    "octets without .csv": (
        [the_file(GOOD, "a.bin", "application/octet-stream")],
        415,
        "unsupported_media_type",
    ),
    "wrong header": ([the_file("a,b,c\n1,2,3\n")], 422, "wrong_header"),
    "empty": ([the_file("")], 422, "no_header"),
    "not UTF-8": ([the_file(HEADER.encode() + b"1,\xff,https://a.test/1.jpg\n")], 422, "not_utf8"),
    "no links": ([the_file(f"{HEADER}1,Shoe,\n")], 422, "no_links"),
    "open quote": ([the_file(f'{HEADER}1,"Shoe,https://a.test/1.jpg\n')], 422, "broken_quoting"),
}


@pytest.mark.parametrize(("parts", "status", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_what_is_refused_leaves_nothing(
    client: httpx.AsyncClient, store: MemoryStore, intake: Any, parts: list[Any], status: int, code: str
) -> None:
    response = await post(client, *parts)
    assert (response.status_code, codes(response)[0]) == (status, code)
    assert stored(store) == []
    assert intake.taken == []


async def test_a_refusal_names_the_field(client: httpx.AsyncClient) -> None:
    response = await post(client, the_file(), a_field("qualty", "50%"))
    assert "'qualty'" in response.json()["detail"]


async def test_all_bad_options_are_told_at_once(client: httpx.AsyncClient) -> None:
    response = await post(client, the_file(), a_field("quality", "0"), a_field("maxFailedPercent", "101"))
    assert codes(response) == ["invalid_option", "invalid_option"]


async def test_the_first_hundred_problems_are_told_with_their_lines(client: httpx.AsyncClient) -> None:
    response = await post(client, the_file(HEADER + "1,Shoe,https://a.test/1.jpg,blue\n" * 250))
    assert codes(response) == ["too_many_fields"] * 100
    assert [problem["line"] for problem in response.json()["errors"]] == list(range(2, 102))


async def test_rows_are_limited(make_app: Any, connect: Any, store: MemoryStore) -> None:
    async with connect(make_app(max_rows=1)) as client:
        assert codes(await post(client, the_file())) == ["too_many_rows"]
    assert stored(store) == []


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "application/json"])
async def test_a_bare_body_must_say_that_it_is_csv(client: httpx.AsyncClient, kind: str) -> None:
    response = await client.post("/upload", content=GOOD, headers={"content-type": kind})
    assert response.status_code == 415
    assert "save as CSV" in response.json()["detail"]


MALFORMED = {
    "no boundary": ("multipart/form-data", b"x"),
    "empty body": ("multipart/form-data; boundary=xxxx", b""),
    "other boundary": ("multipart/form-data; boundary=yyyy", multipart([the_file()])[0]),
    "cut off in the file": ("multipart/form-data; boundary=xxxx", multipart([the_file()])[0][:-30]),
    "cut off at the end": ("multipart/form-data; boundary=xxxx", multipart([the_file()])[0][:-10]),
    "long boundary": (f"multipart/form-data; boundary={'x' * 300}", b""),
    "no disposition": ("multipart/form-data; boundary=xxxx", b"--xxxx\r\nContent-Type: text/csv\r\n\r\nx"),
    "many headers": ("multipart/form-data; boundary=xxxx", b"--xxxx\r\n" + b"X-A: b\r\n" * 50),
}


@pytest.mark.parametrize(("kind", "body"), MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_form_is_400_and_leaves_nothing(
    client: httpx.AsyncClient, store: MemoryStore, kind: str, body: bytes
) -> None:
    response = await client.post("/upload", content=body, headers={"content-type": kind})
    assert (response.status_code, codes(response)) == (400, ["malformed_form"])
    assert stored(store) == []


async def test_a_declared_length_over_the_limit_is_refused_at_once(make_app: Any, connect: Any) -> None:
    async def never_read() -> Any:
        yield pytest.fail("the body was read")

    async with connect(make_app(max_upload_bytes=1000)) as client:
        headers = {"content-type": "text/csv", "content-length": "1001"}
        response = await client.post("/upload", content=never_read(), headers=headers)
    assert (response.status_code, codes(response)) == (413, ["too_large"])


async def test_an_undeclared_length_is_limited_while_it_comes(
    make_app: Any, connect: Any, store: MemoryStore
) -> None:
    async def lines() -> Any:
        yield HEADER.encode()
        while True:
            yield b"1,Shoe,https://a.test/1.jpg\n" * 10

    async with connect(make_app(max_upload_bytes=100_000)) as client:
        response = await client.post("/upload", content=lines(), headers={"content-type": "text/csv"})
    assert (response.status_code, codes(response)) == (413, ["too_large"])
    assert stored(store) == []


# -- when what is behind fails ---------------------------------------------------------------------------


async def test_a_batch_that_cannot_be_promised_leaves_nothing(
    client: httpx.AsyncClient, store: MemoryStore, intake: Any
) -> None:
    intake.fail(2)
    response = await post(client, the_file())
    assert (response.status_code, codes(response)) == (503, ["not_accepted"])
    assert response.headers["retry-after"]
    assert stored(store) == []


async def test_a_lost_answer_of_the_intake_is_asked_for_again(client: httpx.AsyncClient, intake: Any) -> None:
    intake.fail(1)
    assert (await post(client, the_file())).status_code == 202
    assert len(intake.taken) == 1


async def test_the_objects_of_another_owner_are_left_alone(
    client: httpx.AsyncClient, store: MemoryStore, intake: Any
) -> None:
    intake.failures = [ConflictError("belongs to another owner")]
    assert (await post(client, the_file())).status_code == 409
    assert len(stored(store)) == 2


class BrokenStore(MemoryStore):
    """Fails to store what `broken` says."""

    def __init__(self, broken: str) -> None:
        super().__init__()
        self.broken = broken

    def put(self, key: str, data: bytes, media: Any, *, only_if_absent: bool = False) -> Any:
        if self.broken in key:
            raise StoreError("S3: SlowDown: please reduce your request rate")
        return super().put(key, data, media, only_if_absent=only_if_absent)


@pytest.mark.parametrize("broken", ["/input-", "/plan-"])
async def test_s3_that_fails_is_503(make_app: Any, connect: Any, intake: Any, broken: str) -> None:
    store = BrokenStore(broken)
    async with connect(make_app(store=store)) as client:
        response = await post(client, the_file())
    assert (response.status_code, codes(response)) == (503, ["storage_unavailable"])
    assert "SlowDown" not in response.text
    assert stored(store) == []
    assert intake.taken == []


async def test_a_refusal_is_told_though_s3_cannot_delete(make_app: Any, connect: Any) -> None:
    class Undeletable(MemoryStore):
        def delete(self, keys: Any) -> None:
            raise StoreError(f"S3: down, so {list(keys)} stay")

    async with connect(make_app(store=Undeletable())) as client:
        response = await post(client, the_file(), a_field("quality", "0"))
    assert codes(response) == ["invalid_option"]


async def test_an_error_of_our_own_is_500_without_internals(make_app: Any, connect: Any, store: Any) -> None:
    class Defective:
        async def submit(self, _: Any) -> None:
            raise ZeroDivisionError("secret internals")

    async with connect(make_app(intake=Defective())) as client:
        response = await post(client, the_file())
    assert (response.status_code, codes(response)) == (500, ["internal_error"])
    assert "secret" not in response.text
    assert len(stored(store)) == 2  # nobody knows how far it came


# -- Idempotency-Key, with a real database ---------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "caf\u00e9"])
async def test_a_bad_key_is_refused(client: httpx.AsyncClient, key: str) -> None:
    body, headers = multipart([the_file()])
    raw = [
        *((name.encode(), value.encode()) for name, value in headers.items()),
        (b"idempotency-key", key.encode()),
    ]
    response = await client.post("/upload", content=body, headers=raw)
    assert (response.status_code, codes(response)) == (400, ["invalid_idempotency_key"])


async def test_a_key_needs_the_database(client: httpx.AsyncClient) -> None:
    response = await post(client, the_file(), **{"idempotency-key": "k"})
    assert (response.status_code, codes(response)) == (503, ["records_unavailable"])


@pytest.mark.integration
class TestIdempotency:
    KEY: ClassVar = {"idempotency-key": "order-7"}

    @pytest.fixture
    async def keyed(self, make_app: Any, connect: Any, records: Any) -> Any:
        def wake(request_id: str) -> None:
            assert request_id

        async with connect(make_app(records=records, intake=RecordedIntake(records, wake))) as client:
            yield client

    async def test_the_same_upload_again_is_the_same_batch(
        self, keyed: httpx.AsyncClient, store: MemoryStore
    ) -> None:
        first = await post(keyed, the_file(), a_field("quality", "40"), **self.KEY)
        writes = list(store.writes)
        again = await post(keyed, the_file(), a_field("quality", "40"), **self.KEY)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json() == again.json()
        assert first.headers["location"] == again.headers["location"]
        assert store.writes == writes

    @pytest.mark.parametrize(
        "other",
        [
            [the_file(GOOD + "3,Bag,https://a.test/4.jpg\n")],
            [the_file(), a_field("quality", "41")],
            [the_file(), a_field("webhook_url", "https://hook.test/")],
        ],
        ids=["file", "option", "webhook"],
    )
    async def test_another_upload_with_the_key_is_refused(
        self, keyed: httpx.AsyncClient, store: MemoryStore, other: list[Any]
    ) -> None:
        await post(keyed, the_file(), **self.KEY)
        before = stored(store)
        response = await post(keyed, *other, **self.KEY)
        assert (response.status_code, codes(response)) == (422, ["idempotency_key_reused"])
        assert stored(store) == before

    async def test_a_bad_repeat_does_not_harm_the_first(
        self, keyed: httpx.AsyncClient, store: MemoryStore
    ) -> None:
        await post(keyed, the_file(), **self.KEY)
        before = stored(store)
        assert (await post(keyed, the_file("nonsense"), **self.KEY)).status_code == 422
        assert (await post(keyed, the_file(), the_file(), **self.KEY)).status_code == 422
        assert stored(store) == before

    async def test_a_key_whose_upload_was_refused_can_be_used_again(self, keyed: httpx.AsyncClient) -> None:
        assert (await post(keyed, the_file("nonsense"), **self.KEY)).status_code == 422
        assert (await post(keyed, the_file(), **self.KEY)).status_code == 202

    async def test_other_keys_are_other_batches(self, keyed: httpx.AsyncClient) -> None:
        first = await post(keyed, the_file(), **{"idempotency-key": "a"})
        second = await post(keyed, the_file(), **{"idempotency-key": "b"})
        assert first.json()["request_id"] != second.json()["request_id"]

    async def test_a_key_whose_upload_runs_is_409(self, keyed: httpx.AsyncClient) -> None:
        async def slowly() -> AsyncIterator[bytes]:
            yield GOOD.encode()
            response = await post(keyed, the_file(), **self.KEY)
            assert (response.status_code, codes(response)) == (409, ["upload_running"])

        headers = {"content-type": "text/csv", **self.KEY}
        assert (await keyed.post("/upload", content=slowly(), headers=headers)).status_code == 202
        assert (await post(keyed, the_file(), **self.KEY)).status_code == 202


@pytest.mark.integration
async def test_real_s3_holds_what_was_uploaded_and_nothing_of_what_was_refused(
    make_app: Any, connect: Any, s3_store: Any
) -> None:
    big = HEADER + "".join(f"{n},Shoe,https://a.test/{n}.jpg?{'x' * 900}\n" for n in range(12_000))
    async with connect(make_app(store=s3_store)) as client:
        refused = await post(client, the_file(f"{big}13,Bag,https://a.test/13.jpg,blue\n"))
        assert refused.status_code == 422
        assert (await post(client, the_file(big), a_field("quality", "0"))).status_code == 422
        assert held(s3_store) == []
        document = (await post(client, the_file(big))).json()
    given, made = (found.key for found in s3_store.list(keys.batch_prefix(document["request_id"])))
    assert s3_store.head(given).size == len(big)
    assert json.loads(s3_store.get(made))["rows"] == 12_000
