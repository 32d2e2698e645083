"""The object store on a real S3."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from imagebatch.errors import AccessDeniedError, AlreadyExistsError, NotFoundError, SettingsError, StoreError
from imagebatch.settings import S3Settings
from imagebatch.storage import keys, s3, s3_writer
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.s3_access import link_base
from imagebatch.storage.s3_links import signed_at
from imagebatch.storage.s3_request import Identity
from imagebatch.storage.store import CSV, JSON, Media
from imagebatch_testing.cluster.relay import relaying
from imagebatch_testing.memory_store import held

TEXT = Media("text/plain")
SIX_MEGABYTES = 6 * 1024 * 1024


def anonymous(url: str) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, {name.lower(): value for name, value in response.headers.items()}
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, {}


@pytest.mark.parametrize(
    ("base", "begins"),
    [
        ("https://cdn.example:443/a", "https://cdn.example/a/x%20y?"),
        ("http://[::1]:9000/b", "http://[::1]:9000/b/x%20y?"),
    ],
)
def test_a_link_is_signed_for_the_host_that_clients_name(base: str, begins: str) -> None:
    link = signed_at(base, "x y", "eu-1", Identity("key", "secret", "a token,"), 60)
    assert link.startswith(f"{begins}X-Amz-Security-Token=a+token%2C&")
    assert "%2Feu-1%2Fs3%2Faws4_request" in link


@pytest.mark.integration
class TestOnARealServer:
    def test_a_conditional_put_lets_the_first_win(self, s3_store: S3Store) -> None:
        s3_store.put("batches/x", b"first", JSON, only_if_absent=True)
        with pytest.raises(AlreadyExistsError):
            s3_store.put("batches/x", b"second", JSON, only_if_absent=True)
        assert s3_store.get("batches/x") == b"first"

    def test_a_stream_is_stored_in_parts_with_its_size_and_etag(self, s3_store: S3Store) -> None:
        stored = s3_store.put_stream("batches/big", (bytes([i]) * 1_000_000 for i in range(12)), TEXT)
        assert stored == s3_store.head("batches/big")
        assert stored.size == 12_000_000
        assert s3_store.get("batches/big", offset=999_999, length=2, etag=stored.etag) == b"\x00\x01"

    def test_a_stream_that_breaks_leaves_nothing(self, s3_store: S3Store) -> None:
        def broken() -> Iterator[bytes]:
            yield b"x" * SIX_MEGABYTES
            yield b"x" * SIX_MEGABYTES
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            s3_store.put_stream("batches/broken", broken(), TEXT)
        assert held(s3_store) == []
        assert not s3_store._client._list_multipart_uploads("imagebatch").uploads

    def test_several_objects_are_written_at_once_and_seen_when_whole(self, s3_store: S3Store) -> None:
        with s3_store.writing("batches/a", TEXT) as first, s3_store.writing("batches/b", TEXT) as second:
            for number in range(12):
                first.write(bytes([number]) * 1_000_000)
                second.write(b"x")
            assert held(s3_store) == []
        assert list(s3_store.list("batches/")) == [first.stored, second.stored]
        assert (first.stored.size, s3_store.get("batches/b")) == (12_000_000, b"x" * 12)

    def test_an_error_leaves_none_of_several_objects(self, s3_store: S3Store) -> None:
        def write_both() -> None:
            with s3_store.writing("batches/a", TEXT) as first, s3_store.writing("batches/b", TEXT) as second:
                first.write(b"x" * SIX_MEGABYTES)
                second.write(b"x")
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            write_both()
        assert held(s3_store) == []
        assert not s3_store._client._list_multipart_uploads("imagebatch").uploads

    @pytest.mark.parametrize("size", [0, s3_writer.PART_BYTES, s3_writer.PART_BYTES + 1])
    def test_an_object_may_end_where_a_part_does(self, s3_store: S3Store, size: int) -> None:
        with s3_store.writing("batches/x", TEXT) as writer:
            writer.write(b"x" * size)
        assert s3_store.head("batches/x") == writer.stored
        assert len(s3_store.get("batches/x")) == size

    def test_an_upload_that_s3_refuses_is_a_store_error_and_leaves_nothing(self, s3_store: S3Store) -> None:
        def ended_meanwhile() -> Iterator[bytes]:
            yield b"x" * SIX_MEGABYTES
            (upload,) = s3_store.unfinished("batches/")
            s3_store.end(upload)

        with pytest.raises(StoreError):
            s3_store.put_stream("batches/x", ended_meanwhile(), TEXT)
        assert held(s3_store) == []

    def test_uploads_that_a_killed_program_left_are_found_and_ended(self, s3_store: S3Store) -> None:
        keys_begun = [f"batches/r{number:04d}/input.csv" for number in range(3)]
        for key in [*keys_begun, "images/x/1.jpg"]:
            s3_store._client._create_multipart_upload("imagebatch", key, {})
        found = sorted(s3_store.unfinished("batches/"), key=lambda upload: upload.key)
        assert [upload.key for upload in found] == keys_begun
        assert all(abs((upload.begun_at - s3_store.now()).total_seconds()) < 60 for upload in found)
        for upload in [*found, found[0]]:
            s3_store.end(upload)
        assert [upload.key for upload in s3_store.unfinished("")] == ["images/x/1.jpg"]
        s3_store.end(next(s3_store.unfinished("images/")))

    def test_folders_are_listed_without_what_is_in_them(self, s3_store: S3Store) -> None:
        for key in ("batches/f/a/1", "batches/f/a/b/2", "batches/f/c d/1", "batches/f/alone", "images/x/1"):
            s3_store.put(key, b"x", TEXT)
        assert list(s3_store.folders("batches/f/")) == ["batches/f/a/", "batches/f/c d/"]
        (listed,) = s3_store.list("images/x/")
        assert listed.modified is not None
        assert abs((listed.modified - s3_store.now()).total_seconds()) < 60

    def test_a_read_with_another_etag_is_refused(self, s3_store: S3Store) -> None:
        s3_store.put("batches/x", b"new", TEXT)
        with pytest.raises(NotFoundError):
            s3_store.get("batches/x", etag="0" * 32)

    def test_absent_objects_are_told_as_absent(self, s3_store: S3Store) -> None:
        assert s3_store.head("nothing") is None
        with pytest.raises(NotFoundError):
            s3_store.get("nothing")
        s3_store.delete(["nothing"])

    def test_listing_is_by_prefix_and_in_order(self, s3_store: S3Store) -> None:
        for key in ("a/2", "a/1", "b/1"):
            s3_store.put(key, b"", TEXT)
        assert [stored.key for stored in s3_store.list("a/")] == ["a/1", "a/2"]

    def test_anonymous_clients_read_images_and_output_csvs_only(self, s3_store: S3Store) -> None:
        public = [f"{keys.image_prefix('r')}0000001-001.jpg", keys.output("r")]
        private = [keys.errors("r"), keys.canonical_input("r"), keys.plan("r"), keys.report("r", 1, 0)]
        for key in public + private:
            s3_store.put(key, b"x", TEXT)
        assert [anonymous(s3_store.link(key))[0] for key in public] == [200, 200]
        assert [anonymous(s3_store.link(key))[0] for key in private] == [403] * 4
        folder = keys.image_prefix("r")
        listings = [
            "",
            "?list-type=2",
            "?prefix=images/",
            "images/",
            folder,
            f"{folder}?list-type=2",
            "?uploads",
        ]
        assert [anonymous(s3_store.link(path))[0] for path in listings] == [403] * len(listings)

    def test_objects_are_served_with_their_headers(self, s3_store: S3Store) -> None:
        s3_store.put("images/a/1-1.jpg", b"x", Media.image("image/jpeg"))
        s3_store.put_stream(keys.output("r"), [b"a,b\n"], CSV)
        image = anonymous(s3_store.link("images/a/1-1.jpg"))[1]
        table = anonymous(s3_store.link(keys.output("r")))[1]
        assert (image["content-type"], image["cache-control"]) == (
            "image/jpeg",
            "public, max-age=31536000, immutable",
        )
        assert (table["content-type"], table["cache-control"], table["content-disposition"]) == (
            "text/csv; charset=utf-8",
            "no-cache",
            "attachment",
        )

    def test_presigned_links_read_private_objects(self, s3_store: S3Store) -> None:
        s3_store.put(keys.errors("r"), b"x", TEXT)
        presigned = S3Store(s3_store._settings.model_copy(update={"s3_links": "presigned"}))
        link = presigned.link(keys.errors("r"))
        assert "," not in link
        assert anonymous(link)[0] == 200

    def test_users_get_links_at_the_public_address_too(self, s3_store: S3Store) -> None:
        s3_store.put(keys.errors("r, s"), b"x", TEXT)
        assert len(s3_store.user_links(keys.errors("r, s"), 60)) == 1
        public = link_base(s3_store._settings).replace("127.0.0.1", "localhost")
        store = S3Store(s3_store._settings.model_copy(update={"s3_public_url": public}))
        links = store.user_links(keys.errors("r, s"), 60)
        assert [link.startswith(public) for link in links] == [True, False]
        for link in links:
            assert "," not in link
            assert anonymous(link)[0] == 200
            assert anonymous(link.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))[0] == 403

    def test_the_probe_accepts_our_bucket_and_leaves_nothing(self, s3_store: S3Store) -> None:
        s3_store.probe()
        assert held(s3_store) == []

    def test_the_probe_names_the_policy_that_is_missing(self, s3_store: S3Store) -> None:
        s3_store._client.delete_bucket_policy("imagebatch")
        try:
            with pytest.raises(AccessDeniedError, match=r"s3:GetObject"):
                s3_store.probe()
        finally:
            s3_store.create_bucket()

    def test_a_store_that_answered_is_asked_for_a_connection_only(self, s3_store: S3Store) -> None:
        settings = s3_store._settings
        port = int(settings.s3_endpoint.rpartition(":")[2])
        with relaying("127.0.0.2", port) as relay:
            store = S3Store(settings.model_copy(update={"s3_endpoint": relay.url()}), retries=0)
            store.check()
            assert relay.requests == 1
            for _ in range(5):
                store.check()
            assert relay.requests == 1
            relay.cut()
            with pytest.raises(StoreError, match="can't be reached"):
                store.check()
            relay.mend()
            store.check()
            assert relay.requests == 2
            store.close()

    def test_wrong_keys_are_access_denied(self, s3_store: S3Store) -> None:
        stranger = S3Store(s3_store._settings.model_copy(update={"s3_access_key": "nobody"}))
        with pytest.raises(AccessDeniedError):
            stranger.put("images/x", b"", TEXT)
        stranger.close()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "https://shop.s3.us-east-1.amazonaws.com"),
        ({"s3_region": "ap-south-1"}, "https://shop.s3.ap-south-1.amazonaws.com"),
        (
            {"s3_endpoint": "https://s3.eu-central-1.amazonaws.com"},
            "https://shop.s3.eu-central-1.amazonaws.com",
        ),
        ({"s3_endpoint": "http://minio:9000"}, "http://minio:9000/shop"),
        ({"s3_endpoint": "http://minio:9000", "s3_addressing": "virtual"}, "http://shop.minio:9000"),
        ({"s3_public_url": "https://cdn.shop.example/"}, "https://cdn.shop.example"),
    ],
)
def test_links_begin_as_the_settings_say(settings: dict[str, str], expected: str) -> None:
    assert link_base(S3Settings.model_validate({"s3_bucket": "shop", **settings})) == expected


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "http://minio/path"])
def test_a_wrong_endpoint_is_told_with_its_variable(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="IMAGEBATCH_S3_ENDPOINT"):
        S3Store(S3Settings(s3_bucket="shop", s3_endpoint=endpoint))


def test_an_unreachable_store_is_a_store_error(unused_port: int) -> None:
    settings = S3Settings.model_validate(
        {
            "s3_bucket": "shop",
            "s3_endpoint": f"http://127.0.0.1:{unused_port}",
            "s3_access_key": "a",
            "s3_secret_key": "b",
        }
    )
    store = S3Store(settings, retries=0)
    with pytest.raises(StoreError):
        store.get("x")
    store.close()


CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>busy</Message></Error>"
TAKEN = b"<Error><Code>PreconditionFailed</Code><Message>taken</Message></Error>"


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[S3Store]:
    """A store before a server that gives these answers, one each request."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, body = left.pop(0)
            self.send_response(status)
            self.send_header("ETag", '"e"')
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings = S3Settings(
            s3_endpoint=f"http://127.0.0.1:{server.server_port}", s3_bucket="b", s3_access_key="k",
            s3_secret_key="s", s3_addressing="path",  # type: ignore[arg-type]
        )  # fmt: skip
        store = S3Store(settings, retries=0)
        try:
            yield store
        finally:
            store.close()
            server.shutdown()
            thread.join()
    assert left == []


def test_a_conflict_of_a_conditional_put_is_no_proof_that_the_object_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3, "CONFLICT_PAUSES_S", (0.0, 0.0))
    with answering((409, CONFLICT), (200, b"")) as store:
        assert store.put("k", b"x", TEXT, only_if_absent=True).etag == "e"
    with answering((409, CONFLICT), (412, TAKEN)) as store, pytest.raises(AlreadyExistsError):
        store.put("k", b"x", TEXT, only_if_absent=True)
    with answering(*[(409, CONFLICT)] * 3) as store, pytest.raises(StoreError) as raised:
        store.put("k", b"x", TEXT, only_if_absent=True)
    assert not isinstance(raised.value, AlreadyExistsError)
