"""Bearer tokens: the file, who is let in, and that nobody reads what another uploaded."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.batch.intake import RecordedIntake
from imagebatch.errors import SettingsError
from imagebatch.records import NewRequest, Records
from imagebatch.settings import read
from imagebatch.storage import keys
from imagebatch.storage.store import CSV
from imagebatch_api import openapi, server, tokens
from imagebatch_api.idempotency import request_id_of
from imagebatch_api.middleware import OPEN_PATHS
from imagebatch_api.settings import ApiSettings, ServerSettings
from imagebatch_api.tokens import TokenFile
from imagebatch_testing.memory_store import MemoryStore, held

GOOD = b"Serial Number,Product Name,Input Image Urls\n1,Shoe,https://a.test/1.jpg\n"
CSV_TYPE = {"content-type": "text/csv"}
SHOP, NEW_SHOP, RIVAL = tokens.make(), tokens.make(), tokens.make()
DIGEST = hashlib.sha256(b"x").hexdigest()


def lines(**given: str) -> str:
    return "".join(f"{tokens.entry_of(name.rstrip('_'), token)}\n" for name, token in given.items())


def bearing(token: str, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **headers}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("# two clients\n\n" + lines(shop=SHOP, rival=RIVAL))
    return path


# -- the file --------------------------------------------------------------------------------------------


def test_a_new_token_is_long_random_and_marked() -> None:
    made = {tokens.make() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith("ib_") and len(token) == 46 for token in made)


def test_the_line_for_a_token_does_not_hold_it() -> None:
    entry = tokens.entry_of("shop", SHOP)
    assert str(entry) == f"shop:{hashlib.sha256(SHOP.encode()).hexdigest()}"
    assert tokens.parse(str(entry)) == (entry,)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a:b", "é", "x" * 64, "a\n"])
def test_some_names_are_none(name: str) -> None:
    with pytest.raises(SettingsError, match="can't be a token's name"):
        tokens.entry_of(name, SHOP)


def test_blank_lines_comments_spaces_and_upper_case_are_fine() -> None:
    text = f"\n  # shop\r\n shop : {DIGEST.upper()} \r\nrival:{'0' * 64}"
    assert [str(entry) for entry in tokens.parse(text)] == [f"shop:{DIGEST}", f"rival:{'0' * 64}"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shop", "line 1 has no colon"),
        (f"# a\n\nshop:{SHOP}", "line 3: what follows the colon is no SHA-256"),
        (SHOP, "line 1 has no colon"),
        (f"{SHOP} x:{DIGEST}", "line 1: what stands before the colon can't be a name"),
        (f"a:{DIGEST[:-1]}", "line 1: what follows the colon is no SHA-256"),
        (f"a:{DIGEST}:b", "line 1: what follows the colon is no SHA-256"),
        (f"a:{DIGEST}\nb:{DIGEST}", "line 2 repeats the token of line 1"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        tokens.parse(text)
    assert SHOP not in str(caught.value)
    assert DIGEST[:20] not in str(caught.value)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        assert all(len(entry.digest) == 64 for entry in tokens.parse(text))
    except SettingsError as error:
        assert str(error).startswith("line ")


def test_several_tokens_may_bear_one_name() -> None:
    entries = tokens.parse(lines(shop=SHOP) + lines(shop=NEW_SHOP) + lines(rival=RIVAL))
    found = [tokens.owner_of(entries, token) for token in (SHOP, NEW_SHOP, RIVAL, "ib_other", "")]
    assert found == ["shop", "shop", "rival", None, None]


def test_the_file_is_read_again_when_it_changes(file: Path) -> None:
    held = TokenFile(file)
    assert (held.owner_of(SHOP), held.owner_of(NEW_SHOP)) == ("shop", None)
    file.write_text(lines(shop=SHOP) + lines(shop=NEW_SHOP))
    assert (held.owner_of(SHOP), held.owner_of(NEW_SHOP), held.owner_of(RIVAL)) == ("shop", "shop", None)
    file.write_text("")
    assert held.owner_of(SHOP) is None


def test_a_mounted_secret_is_read_again_when_its_link_moves(tmp_path: Path) -> None:
    """As the kubelet does it: the file is a link through `..data`, which is replaced."""
    for name, token in (("one", SHOP), ("two", NEW_SHOP)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens").write_text(lines(shop=token))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    held = TokenFile(tmp_path / "tokens")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "..data")
    assert (held.owner_of(SHOP), held.owner_of(NEW_SHOP)) == (None, "shop")


@pytest.mark.parametrize("wrong", ["shop", None, b"\xff\xfe"], ids=["broken", "gone", "not UTF-8"])
def test_a_file_that_becomes_wrong_leaves_the_last_good_version(
    file: Path, wrong: str | bytes | None
) -> None:
    held = TokenFile(file)
    if wrong is None:
        file.unlink()
    else:
        file.write_bytes(wrong if isinstance(wrong, bytes) else wrong.encode())
    with structlog.testing.capture_logs() as entries:
        assert [held.owner_of(SHOP), held.owner_of(SHOP)] == ["shop", "shop"]
    assert [entry["log_level"] for entry in entries] == ["error"], "told once"
    file.write_text(lines(shop=NEW_SHOP))
    assert (held.owner_of(SHOP), held.owner_of(NEW_SHOP)) == (None, "shop")


@pytest.mark.parametrize(
    ("content", "says"), [(None, "can't be read: No such file"), ("x", "line 1 has no colon")]
)
def test_a_wrong_file_stops_the_start(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=f"IMAGEBATCH_API_TOKENS_FILE: {path}.*{says}"):
        TokenFile(path)


# -- where tokens are a must -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "api", "is_right"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("localhost", {}, True),
        ("0.0.0.0", {}, False),
        ("::", {}, False),
        ("10.0.0.7", {}, False),
        ("api.example", {}, False),
        ("0.0.0.0", {"allow_anonymous": True}, True),
        ("0.0.0.0", {"api_tokens_file": Path("/dev/null")}, True),
        ("127.0.0.1", {"api_tokens_file": Path("/no/such/file")}, False),
    ],
)
def test_other_machines_need_tokens_unless_it_is_said_that_they_need_none(
    monkeypatch: pytest.MonkeyPatch, host: str, api: dict[str, Any], is_right: bool
) -> None:
    for name, value in {
        "IMAGEBATCH_API_HOST": host,
        "IMAGEBATCH_S3_BUCKET": "shop",
        "IMAGEBATCH_NAMESPACE": "shop",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }.items():
        monkeypatch.setenv(name, value)
    settings = read(ServerSettings)
    if is_right:
        settings.check_access(ApiSettings(**api))
        return
    with pytest.raises(SettingsError, match=r"TOKENS_FILE.*(IMAGEBATCH_ALLOW_ANONYMOUS=true|No such file)"):
        settings.check_access(ApiSettings(**api))


# -- who is let in ---------------------------------------------------------------------------------------


@pytest.fixture
async def guarded(make_app: Any, connect: Any, file: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(make_app(api_tokens_file=file)) as client:
        yield client


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/upload", "/status/x", "/batches/x/errors.csv", "/nowhere", "/metrics/"])
async def test_without_a_token_there_is_nothing(guarded: httpx.AsyncClient, path: str) -> None:
    response = await guarded.request("POST" if path == "/upload" else "GET", path)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (401, "missing_token")
    assert response.headers["www-authenticate"] == 'Bearer realm="imagebatch"'


@pytest.mark.anyio
@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
async def test_some_paths_are_open(guarded: httpx.AsyncClient, path: str) -> None:
    assert (await guarded.get(path)).status_code in {200, 503}


@pytest.mark.anyio
@pytest.mark.parametrize("token", ["ib_wrong", SHOP[:-1], f"{SHOP}x", SHOP.upper(), tokens.make()])
async def test_an_unknown_token_is_told_so(guarded: httpx.AsyncClient, intake: Any, token: str) -> None:
    response = await guarded.post("/upload", content=GOOD, headers=bearing(token, **CSV_TYPE))
    assert (response.status_code, response.json()["errors"][0]["code"]) == (401, "unknown_token")
    assert response.headers["www-authenticate"] == 'Bearer realm="imagebatch", error="invalid_token"'
    assert intake.taken == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", SHOP, f"Basic {SHOP}", f"Bearer {SHOP} x", f"Bearer a,Bearer {SHOP}"]
)
async def test_what_is_no_bearer_token_is_none(guarded: httpx.AsyncClient, value: str) -> None:
    response = await guarded.get("/status/x", headers={"authorization": value})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (401, "missing_token")


@pytest.mark.anyio
async def test_two_tokens_are_none(guarded: httpx.AsyncClient) -> None:
    headers = [("authorization", f"Bearer {SHOP}"), ("authorization", f"Bearer {RIVAL}")]
    assert (await guarded.get("/status/x", headers=headers)).status_code == 401


@pytest.mark.anyio
async def test_the_scheme_may_be_written_in_any_case(guarded: httpx.AsyncClient, intake: Any) -> None:
    headers = {**CSV_TYPE, "authorization": f"bEARER  {SHOP}"}
    assert (await guarded.post("/upload", content=GOOD, headers=headers)).status_code == 202
    assert intake.taken[0].uploaded_by == "shop"


@pytest.mark.anyio
async def test_the_body_of_a_stranger_is_not_read(guarded: httpx.AsyncClient) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield pytest.fail("the body was read")

    assert (await guarded.post("/upload", content=never(), headers=CSV_TYPE)).status_code == 401


@pytest.mark.anyio
async def test_a_token_does_not_open_other_names_nor_pages(guarded: httpx.AsyncClient) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        response = await guarded.post("/upload", content=GOOD, headers=bearing(SHOP, **CSV_TYPE, **headers))
        assert response.status_code == 403


@pytest.mark.anyio
async def test_a_token_is_never_logged_nor_told(guarded: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as entries:
        answers = [
            await guarded.post("/upload", content=GOOD, headers=bearing(token, **CSV_TYPE))
            for token in (SHOP, "ib_a-wrong-one")
        ]
        answers.append(await guarded.get("/status/x", headers=bearing(SHOP)))
        answers.append(await guarded.get(f"/status/{keys.output('x')}", headers=bearing(RIVAL)))
    told = str(entries) + "".join(f"{answer.text}{answer.headers}" for answer in answers)
    assert not any(token in told for token in (SHOP, RIVAL, "ib_a-wrong-one"))


@pytest.mark.anyio
async def test_without_a_file_nobody_is_asked(client: httpx.AsyncClient, intake: Any) -> None:
    response = await client.post("/upload", content=GOOD, headers=bearing("whatever", **CSV_TYPE))
    assert response.status_code == 202
    assert intake.taken[0].uploaded_by is None


def test_the_description_tells_which_paths_want_a_token(file: Path) -> None:
    document = openapi.document(ApiSettings(api_tokens_file=file))
    assert document["security"] == [{"token": []}]
    operations = {path: next(iter(methods.values())) for path, methods in document["paths"].items()}
    assert {path for path, found in operations.items() if found.get("security") == []} == OPEN_PATHS
    assert {path for path, found in operations.items() if "401" not in found["responses"]} == OPEN_PATHS
    assert openapi.document(ApiSettings())["security"] == []


# -- whose a batch is ------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.integration
class TestOwners:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "tokens"
        path.write_text(lines(shop=SHOP) + lines(shop=NEW_SHOP) + lines(rival=RIVAL))
        return path

    @pytest.fixture
    async def client(
        self, make_app: Any, connect: Any, records: Records, file: Path
    ) -> AsyncIterator[httpx.AsyncClient]:
        intake = RecordedIntake(records, lambda _: None)
        async with connect(make_app(api_tokens_file=file, records=records, intake=intake)) as connected:
            yield connected

    async def upload(self, client: httpx.AsyncClient, token: str, **headers: str) -> str:
        response = await client.post("/upload", content=GOOD, headers=bearing(token, **CSV_TYPE, **headers))
        assert response.status_code == 202, response.text
        return str(response.json()["request_id"])

    @pytest.mark.parametrize("path", ["/status/{}", "/batches/{}/errors.csv"])
    async def test_anothers_batch_is_as_if_it_were_not_there(
        self, client: httpx.AsyncClient, store: MemoryStore, path: str
    ) -> None:
        request_id = await self.upload(client, SHOP)
        store.put(keys.errors(request_id), b"secret", CSV)
        anothers = await client.get(path.format(request_id), headers=bearing(RIVAL))
        nobodys = await client.get(path.format("no-such-id"), headers=bearing(RIVAL))
        assert anothers.status_code == nobodys.status_code == 404
        assert anothers.content == nobodys.content
        assert dict(anothers.headers) == dict(nobodys.headers)

    async def test_tokens_of_one_name_see_the_same(self, client: httpx.AsyncClient) -> None:
        request_id = await self.upload(client, SHOP)
        for token in (SHOP, NEW_SHOP):
            assert (await client.get(f"/status/{request_id}", headers=bearing(token))).status_code == 200

    async def test_a_batch_without_an_owner_is_nobodys(
        self, client: httpx.AsyncClient, records: Records
    ) -> None:
        await records.create(NewRequest(request_id="from-kubectl", owner="uid"))
        assert (await client.get("/status/from-kubectl", headers=bearing(SHOP))).status_code == 404

    async def test_without_tokens_only_what_has_no_owner_is_seen(
        self, client: httpx.AsyncClient, make_app: Any, connect: Any, records: Records
    ) -> None:
        owned = await self.upload(client, SHOP)
        await records.create(NewRequest(request_id="from-kubectl", owner="uid"))
        async with connect(make_app(records=records)) as open_to_all:
            assert (await open_to_all.get(f"/status/{owned}")).status_code == 404
            assert (await open_to_all.get("/status/from-kubectl")).status_code == 200

    async def test_idempotency_keys_are_each_owners_own(self, client: httpx.AsyncClient) -> None:
        key = {"idempotency-key": "order-7"}
        ids = [await self.upload(client, token, **key) for token in (SHOP, NEW_SHOP, RIVAL)]
        assert ids[0] == ids[1]
        assert ids[0] != ids[2]


def test_owners_and_keys_do_not_mix() -> None:
    pairs = [(None, "a"), ("a", "a"), ("a", "ab"), ("aa", "b"), ("ab", "a"), (None, "aa"), (None, "aab")]
    assert len({request_id_of(key, owner) for owner, key in pairs}) == len(pairs)


# -- limits ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_one_owner_leaves_room_for_the_others(make_app: Any, connect: Any, file: Path) -> None:
    hold, begun = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield GOOD
        begun.set()
        await hold.wait()

    async with connect(make_app(api_tokens_file=file, max_uploads=3, max_uploads_per_token=1)) as client:
        first = asyncio.create_task(client.post("/upload", content=slow(), headers=bearing(SHOP, **CSV_TYPE)))
        await begun.wait()
        again = await client.post("/upload", content=GOOD, headers=bearing(SHOP, **CSV_TYPE))
        other = await client.post("/upload", content=GOOD, headers=bearing(RIVAL, **CSV_TYPE))
        assert (again.status_code, other.status_code) == (429, 202)
        assert "of yours" in again.json()["detail"]
        assert int(again.headers["retry-after"]) > 0
        hold.set()
        assert (await first).status_code == 202
        assert (
            await client.post("/upload", content=GOOD, headers=bearing(SHOP, **CSV_TYPE))
        ).status_code == 202


@pytest.mark.anyio
async def test_an_upload_that_trickles_is_ended(make_app: Any, connect: Any, store: MemoryStore) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield GOOD
        while True:
            await asyncio.sleep(0.01)
            yield b"\n"

    async with connect(make_app(upload_seconds=0.2)) as client:
        response = await client.post("/upload", content=trickle(), headers=CSV_TYPE)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (408, "upload_too_slow")
    assert "0.2 s" in response.json()["detail"]
    assert held(store) == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("settings", "request_", "status", "code", "told"),
    [
        ({"max_header_bytes": 1024}, {"headers": {"x-long": "x" * 1100}}, 431, "headers_too_large", "1024"),
        ({"max_header_bytes": 1024}, {"params": {"quality": "x" * 1100}}, 431, "headers_too_large", "1024"),
        ({"max_field_bytes": 256}, {"params": {"quality": "x" * 257}}, 422, "field_too_long", "256"),
        ({"max_field_bytes": 256}, {"data": {"quality": "x" * 257}}, 422, "field_too_long", "256"),
        ({"max_form_fields": 1}, {"data": {"quality": "50"}}, 422, "too_many_form_fields", "1"),
        ({"max_upload_bytes": 100}, {}, 413, "too_large", "100"),
    ],
)
async def test_limits_are_settings_and_are_told(
    make_app: Any, connect: Any, store: MemoryStore,
    settings: dict[str, Any], request_: dict[str, Any], status: int, code: str, told: str,
) -> None:  # fmt: skip
    async with connect(make_app(**settings)) as client:
        response = await client.post("/upload", files={"file": ("a.csv", GOOD, "text/csv")}, **request_)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (status, code)
    assert told in response.json()["detail"]
    assert held(store) == []


SLOW_HEADERS = {
    "nothing": b"",
    "a part of a head": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    "a body that was answered already": b"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999\r\n\r\n",
}


@pytest.mark.anyio
@pytest.mark.parametrize("sent", SLOW_HEADERS.values(), ids=SLOW_HEADERS)
async def test_a_connection_that_dawdles_is_closed(make_app: Any, sent: bytes) -> None:
    async with served(make_app(), server.HeadLimits(seconds=0.3)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)

        async def dawdle() -> None:
            while not writer.is_closing():
                await asyncio.sleep(0.02)
                writer.write(b"x")

        dawdling = asyncio.create_task(dawdle())
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    pass
        dawdling.cancel()
        writer.close()


@pytest.mark.anyio
async def test_a_long_upload_outlives_the_time_for_headers(make_app: Any) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield GOOD
        await asyncio.sleep(0.6)
        yield b"2,Hat,https://a.test/2.jpg\n"

    async with (
        served(make_app(), server.HeadLimits(seconds=0.2)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        for _ in range(2):
            response = await client.post("/upload", content=slow(), headers=CSV_TYPE)
            assert response.json()["rows"] == 2


@contextlib.asynccontextmanager
async def served(app: Any, head: server.HeadLimits) -> AsyncIterator[int]:
    listening = server.bind("127.0.0.1", 0)
    started = asyncio.Event()
    serving = asyncio.create_task(server.serve_on(app, listening, started=started, head=head))
    await started.wait()
    port: int = listening.getsockname()[1]
    yield port
    serving.cancel()
    await asyncio.wait([serving])
