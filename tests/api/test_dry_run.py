"""POST /upload?dry_run=true: checked as an upload, and nothing of it is kept."""

import httpx
import pytest

from imagebatch_testing.memory_store import MemoryStore, held

from .conftest import Connect, MakeApp, MemoryIntake

pytestmark = pytest.mark.anyio

CSV_TYPE = {"content-type": "text/csv"}
HEADER = "Serial Number,Product Name,Input Image Urls\n"
GOOD = f"""{HEADER}1,Shoe,"https://a.test/1.jpg,https://B.test/2.jpg"
2,Hat,"https://a.test/3.jpg"
3,Bag,"nonsense"
"""


async def test_what_an_upload_would_be_is_told(client: httpx.AsyncClient) -> None:
    """The client's database does not answer: a dry run does not ask it."""
    answer = await client.post("/upload", params={"dry_run": "true"}, content=GOOD, headers=CSV_TYPE)
    assert answer.status_code == 200
    document = answer.json()
    (warning,) = document.pop("warnings")
    assert (warning["code"], warning["line"]) == ("bad_link", 4)
    assert document == {
        "rows": 3,
        "images": 4,
        "hosts": [{"host": "a.test", "images": 2}, {"host": "b.test", "images": 1}],
        "columns": {
            "serial": "Serial Number",
            "name": "Product Name",
            "links": ["Input Image Urls"],
        },
    }


@pytest.mark.parametrize("key", [{}, {"idempotency-key": "spring"}], ids=["without a key", "with one"])
async def test_nothing_is_kept(
    client: httpx.AsyncClient, store: MemoryStore, intake: MemoryIntake, key: dict[str, str]
) -> None:
    for form in ({"content": GOOD, "headers": {**CSV_TYPE, **key}}, {"files": {"file": ("a.csv", GOOD)}}):
        answer = await client.post("/upload?dry_run=true", **form)
        assert answer.status_code == 200
    assert held(store) == []
    assert intake.taken == []


@pytest.mark.parametrize("value", ["false", ""])
async def test_without_it_the_upload_is_taken(
    client: httpx.AsyncClient, intake: MemoryIntake, value: str
) -> None:
    answer = await client.post("/upload", params={"dry_run": value}, content=GOOD, headers=CSV_TYPE)
    assert answer.status_code == 202
    assert len(intake.taken) == 1


@pytest.mark.parametrize(
    ("query", "content", "status", "code"),
    [
        ("", "", 422, "no_header"),
        ("", "a,b\n1,2\n", 422, "wrong_header"),
        ("", f"{HEADER}1,Shoe,\n", 422, "no_links"),
        ("&quality=0", GOOD, 422, "invalid_option"),
        ("&colour=red", GOOD, 422, "unknown_field"),
        ("&webhook_url=http://127.0.0.1/", GOOD, 422, "forbidden_webhook_url"),
        ("&dry_run=true", GOOD, 422, "duplicate_field"),
    ],
)
async def test_it_refuses_what_an_upload_is_refused_for(
    client: httpx.AsyncClient, query: str, content: str, status: int, code: str
) -> None:
    answer = await client.post(f"/upload?dry_run=true{query}", content=content, headers=CSV_TYPE)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_a_value_that_is_none_is_refused(client: httpx.AsyncClient, intake: MemoryIntake) -> None:
    for value in ("1", "yes", "dry"):
        answer = await client.post(f"/upload?dry_run={value}", content=GOOD, headers=CSV_TYPE)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "invalid_option")
    assert intake.taken == []


async def test_in_the_form_it_is_refused_so_that_nothing_is_stored_by_mistake(
    client: httpx.AsyncClient, intake: MemoryIntake
) -> None:
    answer = await client.post("/upload", data={"dry_run": "true"}, files={"file": ("a.csv", GOOD)})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "unknown_field")
    assert intake.taken == []


async def test_a_bad_key_is_refused_as_at_an_upload(client: httpx.AsyncClient) -> None:
    headers = {**CSV_TYPE, "idempotency-key": "x" * 300}
    answer = await client.post("/upload?dry_run=true", content=GOOD, headers=headers)
    assert answer.status_code == 400


async def test_the_columns_of_a_shop_are_named(client: httpx.AsyncClient) -> None:
    content = "Handle,Title,Body,Image Src\nshoe,Shoe,Nice,https://a.test/1.jpg\n"
    answer = await client.post("/upload?dry_run=true&preset=shopify", content=content, headers=CSV_TYPE)
    assert answer.json()["columns"] == {"serial": "Handle", "name": "Title", "links": ["Image Src"]}


async def test_the_hosts_of_a_large_file_are_few(make_app: MakeApp, connect: Connect) -> None:
    lines = (f"{row},Shoe,https://h{row % 300}.test/{row}.jpg\n" for row in range(3000))
    async with connect(make_app()) as client:
        content = HEADER + "".join(lines)
        answer = await client.post("/upload?dry_run=true", content=content, headers=CSV_TYPE)
    hosts = answer.json()["hosts"]
    assert len(hosts) == 100
    assert hosts[0] == {"host": "h0.test", "images": 10}
