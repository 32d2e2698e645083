"""What surrounds the endpoints: who may ask, health, metrics, the page, the description, errors, the server."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from imagebatch.errors import StoreError
from imagebatch_api import openapi, problems, server
from imagebatch_api.middleware import host_name
from imagebatch_api.settings import ApiSettings
from imagebatch_testing.memory_store import MemoryStore, held

pytestmark = pytest.mark.anyio

GOOD = b"Serial Number,Product Name,Input Image Urls\n1,Shoe,https://a.test/1.jpg\n"
CSV_TYPE = {"content-type": "text/csv"}


# -- who may ask -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:80", "LOCALHOST:1"])
async def test_loopback_names_are_answered(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "127.0.0.1.evil.example", "localhost.evil", "", "a:b:c", "localhost.", "localhost.:80",
        "127.0.0.1.", "localhost:80:80", "localhost:x", "evil.example:8080", "10.1.2.3.evil.example", "[evil]",
        "127.1", "0x7f000001", "10.1.2", "[10.1.2.3]", "::1", "[::1%25lo]x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/status/x", "/metrics", "/upload"])
async def test_other_names_are_not_answered(client: httpx.AsyncClient, host: str, path: str) -> None:
    response = await client.request("POST" if path == "/upload" else "GET", path, headers={"host": host})
    assert response.status_code == 403
    assert response.json()["errors"][0]["code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["192.168.1.5:8080", "10.1.2.3", "[fd00::7]:8080", "[::2]"])
async def test_addresses_may_read_metrics_and_nothing_else(client: httpx.AsyncClient, host: str) -> None:
    answers = {
        path: (await client.get(path, headers={"host": host})).status_code
        for path in ("/metrics", "/", "/openapi.json", "/status/x", "/metrics/", "//metrics")
    }
    assert answers.pop("/metrics") == 200
    assert set(answers.values()) == {403}
    posted = await client.post("/upload", content=GOOD, headers={**CSV_TYPE, "host": host})
    assert posted.status_code == 403


async def test_two_host_headers_are_refused(client: httpx.AsyncClient) -> None:
    headers = [("host", "127.0.0.1:8080"), ("host", "evil.example")]
    assert (await client.get("/", headers=headers)).status_code == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_may_use_any_name(make_app: Any, connect: Any, path: str) -> None:
    async def ready() -> list[str]:
        return []

    async with connect(make_app(ready=ready)) as client:
        assert (await client.get(path, headers={"host": "10.1.2.3:8080"})).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:3000", "http://127.0.0.1", "file://", "http://[", ""],
)
async def test_pages_of_other_sites_may_not_post(client: httpx.AsyncClient, intake: Any, origin: str) -> None:
    response = await client.post("/upload", content=GOOD, headers={**CSV_TYPE, "origin": origin})
    assert response.status_code == 403
    assert response.json()["errors"][0]["code"] == "foreign_origin"
    assert intake.taken == []


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "CROSS-SITE"])
async def test_a_browser_that_tells_of_another_site_may_not_post(
    client: httpx.AsyncClient, intake: Any, site: str
) -> None:
    response = await client.post("/upload", content=GOOD, headers={**CSV_TYPE, "sec-fetch-site": site})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, "foreign_origin")
    assert intake.taken == []


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_a_browser_that_tells_of_our_own_page_may_post(client: httpx.AsyncClient, site: str) -> None:
    headers = {**CSV_TYPE, "origin": "http://127.0.0.1:8080", "sec-fetch-site": site}
    assert (await client.post("/upload", content=GOOD, headers=headers)).status_code == 202


async def test_our_own_page_may_post(client: httpx.AsyncClient) -> None:
    headers = {**CSV_TYPE, "origin": "http://127.0.0.1:8080"}
    assert (await client.post("/upload", content=GOOD, headers=headers)).status_code == 202


@pytest.mark.parametrize(
    ("allowed", "host"), [("*", "any.example"), ("a.example, b.example", "B.example:443")]
)
async def test_names_can_be_opened(make_app: Any, connect: Any, allowed: str, host: str) -> None:
    async with connect(make_app(allowed_hosts=allowed), base_url=f"http://{host}") as client:
        response = await client.post("/upload", content=GOOD, headers=CSV_TYPE)
    assert response.status_code == 202


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("A.b:80", "a.b"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("a", "a"),
        ("", ""),
        ("a:\xb2", "a:\xb2"),
    ],
)
async def test_host_name(header: str, name: str) -> None:
    assert host_name(header) == name


# -- health, metrics, the page ---------------------------------------------------------------------------


async def test_a_living_process_is_healthy(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_readiness_names_what_is_missing(client: httpx.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["detail"] == "not ready: postgres"


async def test_readiness_names_s3(make_app: Any, connect: Any) -> None:
    class Down(MemoryStore):
        def check(self) -> None:
            raise StoreError("S3: down")

    async with connect(make_app(store=Down())) as client:
        assert (await client.get("/readyz")).json()["detail"] == "not ready: postgres, s3"


@pytest.mark.integration
async def test_all_is_ready(make_app: Any, connect: Any, records: Any, s3_store: Any) -> None:
    async with connect(make_app(records=records, store=s3_store)) as client:
        assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_metrics_count_by_route_template(client: httpx.AsyncClient) -> None:
    await client.post("/upload", content=GOOD, headers=CSV_TYPE)
    await client.post("/upload", content=b"nonsense", headers=CSV_TYPE)
    await client.get("/status/../../x")
    await client.get("/status/%00")
    await client.get("/nowhere")
    await client.request("BREW", "/upload")
    text = (await client.get("/metrics")).text
    assert 'imagebatch_http_requests_total{method="POST",route="/upload",status="2xx"} 1.0' in text
    assert 'imagebatch_http_requests_total{method="POST",route="/upload",status="4xx"} 1.0' in text
    assert (
        'imagebatch_http_requests_total{method="GET",route="/status/{request_id}",status="4xx"} 1.0' in text
    )
    assert 'imagebatch_http_requests_total{method="GET",route="none",status="4xx"} 2.0' in text
    assert 'imagebatch_http_requests_total{method="other",route="/upload",status="4xx"} 1.0' in text
    assert f"imagebatch_upload_bytes_total {float(len(GOOD) + len('nonsense'))}" in text
    assert "imagebatch_upload_seconds_count 2.0" in text


async def test_apps_do_not_share_meters(make_app: Any, connect: Any) -> None:
    async with connect(make_app()) as one, connect(make_app()) as other:
        await one.get("/healthz")
        assert "/healthz" not in (await other.get("/metrics")).text


@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/openapi.json"])
async def test_every_answer_has_the_safe_headers(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"


# -- errors ----------------------------------------------------------------------------------------------


async def test_unknown_paths_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    lost = await client.get("/nowhere")
    assert (lost.status_code, lost.headers["content-type"]) == (404, problems.MEDIA_TYPE)
    assert lost.json()["errors"][0]["code"] == "not_found"
    wrong = await client.get("/upload")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["errors"][0]["code"] == "method_not_allowed"


# -- the description -------------------------------------------------------------------------------------


async def test_every_route_and_method_is_described(make_app: Any, client: httpx.AsyncClient) -> None:
    described = {
        (path, method.upper())
        for path, methods in openapi.document(ApiSettings())["paths"].items()
        for method in methods
    }
    served = {
        (route.path, method)
        for route in make_app().routes
        if route.include_in_schema
        for method in route.methods
        if method != "HEAD"
    }
    assert described == served
    assert (await client.get("/openapi.json")).json()["openapi"] == "3.1.0"


async def test_every_reference_of_the_description_resolves() -> None:
    document = openapi.document(ApiSettings())
    components = document["components"]
    names = {f"#/components/{kind}/{name}" for kind, found in components.items() for name in found}
    assert set(re.findall(r"#/components/\w+/\w+", str(document))) <= names


async def test_the_described_defaults_are_the_real_ones(client: httpx.AsyncClient, intake: Any) -> None:
    described = openapi.document(ApiSettings())["components"]["schemas"]["Upload"]["properties"]
    spelled = {name: str(field["default"]) for name, field in described.items() if "default" in field}
    await client.post("/upload", content=GOOD, headers=CSV_TYPE)
    await client.post("/upload", params=spelled, content=GOOD, headers=CSV_TYPE)
    assert intake.taken[0].spec == intake.taken[1].spec


# -- settings and server ---------------------------------------------------------------------------------


async def test_a_public_url_must_be_a_url() -> None:
    with pytest.raises(ValidationError, match="not an http"):
        ApiSettings(public_url="example.com")


async def test_the_server_answers_until_it_is_cancelled(make_app: Any) -> None:
    listening = server.bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    started = asyncio.Event()
    serving = asyncio.create_task(server.serve_on(make_app(), listening, started=started))
    await started.wait()
    async with httpx.AsyncClient(trust_env=False) as client:
        accepted = await client.post(f"{url}/upload", files={"file": ("a.csv", GOOD, "text/csv")})
        assert accepted.status_code == 202
        assert accepted.json()["status_url"].startswith(url)
        refused = await client.post(f"{url}/upload", content=b"nonsense\n" * 2_000_000, headers=CSV_TYPE)
        assert refused.status_code == 422
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/healthz")


async def test_a_taken_port_is_told(make_app: Any) -> None:
    with server.bind("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        await server.serve(make_app(), "127.0.0.1", taken.getsockname()[1])


# -- anything at all -------------------------------------------------------------------------------------

ANYTHING = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCRAPS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"--xxxx",
                b"--xxxx--",
                b"\r\n",
                b"\r\n\r\n",
                b'Content-Disposition: form-data; name="file"; filename="a.csv"',
                b'Content-Disposition: form-data; name="quality"',
                b"Content-Type: text/csv; charset=utf-16",
                b"Content-Length: 7",
                b"Serial Number,Product Name,Input Image Urls\r\n",
                b"1,Shoe,https://a.test/1.jpg\n",
                b'"',
                b"\xff\xfe",
                b"\xef\xbb\xbf",
            ]
        ),
    ),
    max_size=25,
).map(b"".join)


@ANYTHING
@given(body=SCRAPS, kind=st.sampled_from(["text/csv", "multipart/form-data; boundary=xxxx", "text/plain"]))
async def test_no_body_is_our_fault(
    client: httpx.AsyncClient, store: MemoryStore, body: bytes, kind: str
) -> None:
    before = len(held(store))
    with nothing_odd_logged():
        response = await client.post("/upload", content=body, headers={"content-type": kind})
    assert response.status_code in {202, 400, 415, 422}
    assert len(held(store)) == before + (2 if response.status_code == 202 else 0)


@ANYTHING
@given(
    content=st.one_of(st.binary(max_size=300), SCRAPS),
    encoding=st.sampled_from(["", "utf-8", "utf-16", "windows-1252", "shift_jis", "gb18030", "idna"]),
    kind=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
async def test_no_file_is_our_fault(
    client: httpx.AsyncClient, content: bytes, encoding: str, kind: str
) -> None:
    files: Any = {
        "encoding": (None, encoding),
        "file": ("a.csv", content, kind if kind.strip() else "text/csv"),
    }
    with nothing_odd_logged():
        assert (await client.post("/upload", files=files)).status_code in {202, 400, 415, 422}


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
NAMES = st.sampled_from(["file", "quality", "encoding", "rowsPerShard", "webhook_url", ""])
KINDS = st.sampled_from(["", "text/csv", "text/csv; charset=utf-16", "application/octet-stream", "image/png"])
PART = st.builds(
    lambda name, filename, kind, content: (
        f'--xxxx\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n'
        f"Content-Type: {kind}\r\n\r\n".encode()
        + content
        + b"\r\n"
    ),
    WORDS | NAMES,
    st.just("") | WORDS.map('; filename="{}"'.format) | st.just('; filename="a.csv"'),
    KINDS | WORDS,
    st.just(GOOD) | SCRAPS | st.binary(max_size=60),
)


@ANYTHING
@given(body=st.lists(PART, max_size=5).map(lambda parts: b"".join([*parts, b"--xxxx--\r\n"])))
async def test_no_form_is_our_fault(client: httpx.AsyncClient, body: bytes) -> None:
    with nothing_odd_logged():
        response = await client.post(
            "/upload", content=body, headers={"content-type": "multipart/form-data; boundary=xxxx"}
        )
    assert response.status_code in {202, 400, 415, 422}


@contextlib.contextmanager
def nothing_odd_logged() -> Iterator[None]:
    """Fail when the log tells of an error, or has a traceback."""
    with structlog.testing.capture_logs() as entries:
        yield
    assert [entry for entry in entries if entry["log_level"] != "info" or "exc_info" in entry] == []


@ANYTHING
@given(
    kind=st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=60)
)
async def test_no_content_type_is_our_fault(client: httpx.AsyncClient, kind: str) -> None:
    headers = [(b"content-type", kind.encode("latin-1"))]
    response = await client.post("/upload", content=GOOD, headers=headers)
    assert response.status_code in {202, 400, 415, 422}


@ANYTHING
@given(
    query=st.dictionaries(
        st.text(max_size=12) | st.sampled_from(["quality", "webhook_url"]), st.text(max_size=20)
    )
)
async def test_no_query_is_our_fault(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    response = await client.post("/upload", params=query, content=GOOD, headers=CSV_TYPE)
    assert response.status_code in {202, 422}
