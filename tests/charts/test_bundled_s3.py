"""The bundled S3, started as the chart says with the program that its image has: who may do what there.

Also what docs/kubernetes.md says of the narrower key: a jobrunner does its work with it, and nothing else.
"""

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from imagebatch.errors import AccessDeniedError, AlreadyExistsError, ImageBatchError, NotFoundError
from imagebatch.settings import S3Settings
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import Media
from imagebatch_cli import seaweed
from imagebatch_cli.data_folder import free_ports
from imagebatch_testing.chart import Helm, Json

from .conftest import QUICKSTART

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]

JSON = Media("application/json")
START_S = 60
PORTS = ("master", "volume", "filer", "s3")
HERE = {"data": "data", "tmp": ".", "etc/seaweedfs": "."}
"""Where the volumes of the pod are in the folder of this test."""


class BundledS3:
    """SeaweedFS by the chart's command line, on ports of its own."""

    def __init__(self, folder: Path, container: Json, config: dict[str, str]) -> None:
        self._folder = folder
        for name, content in config.items():
            (folder / name).write_text(content)
        (folder / "data").mkdir()
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        grpc = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.port, self.grpc_port = ports["s3"], grpc["s3"]
        self.pid = 0
        moved = {f"-{name}.port={port}" for name, port in ports.items()}
        moved |= {f"-{name}.port.grpc={port}" for name, port in grpc.items()}
        kept = [self._moved(word) for word in container["args"] if not word.startswith("-s3.port=")]
        self.command = [seaweed._weed(), *kept, *sorted(moved)]

    def _moved(self, word: str) -> str:
        """The pod's paths, as paths of this test."""
        return re.sub(r"=/(data|tmp|etc/seaweedfs)", lambda found: f"={self._folder}/{HERE[found[1]]}", word)

    def store(self, access_key: str, secret_key: str) -> S3Store:
        return S3Store(self.settings(access_key, secret_key))

    def settings(self, access_key: str, secret_key: str) -> S3Settings:
        given = {
            "s3_endpoint": f"http://127.0.0.1:{self.port}",
            "s3_bucket": "imagebatch",
            "s3_access_key": access_key,
            "s3_secret_key": secret_key,
            "s3_addressing": "path",
        }
        return S3Settings.model_validate(given)


@pytest.fixture(scope="module")
def bundled(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BundledS3]:
    made = helm.render(QUICKSTART)
    (container,) = made.one("StatefulSet", "imagebatch-s3")["spec"]["template"]["spec"]["containers"]
    config = made.one("Secret", "imagebatch-s3-config")["stringData"]
    folder = tmp_path_factory.mktemp("s3")
    server = BundledS3(folder, container, config)
    with (folder / "log").open("wb") as log:
        env = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(server.command, cwd=folder, env=env, stdout=log, stderr=log)
    try:
        wait_until_ready(server, process, folder / "log")
        server.pid = process.pid
        yield server
    finally:
        process.kill()
        process.wait()


def wait_until_ready(server: BundledS3, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    admin = server.store("imagebatch", "trial-password-of-s3")
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            admin.create_bucket()
            admin.probe()
        except ImageBatchError:
            time.sleep(0.5)
        else:
            return


@pytest.fixture
def admin(bundled: BundledS3) -> Iterator[S3Store]:
    store = bundled.store("imagebatch", "trial-password-of-s3")
    yield store
    store.close()


@pytest.fixture
def jobrunner(bundled: BundledS3) -> Iterator[S3Store]:
    store = bundled.store("jobrunner", "trial-password-of-jobrunners")
    yield store
    store.close()


@pytest.fixture
def batch(admin: S3Store) -> str:
    """The folder of a batch with its input."""
    folder = f"batches/{secrets.token_hex(4)}"
    admin.put(f"{folder}/input.csv", b"Serial Number\n1\n", JSON)
    return folder


def with_links(bundled: BundledS3, links: dict[str, str]) -> S3Store:
    """A jobrunner's store as its pod has it: its own key, and links that the operator signed."""
    own = bundled.settings("jobrunner", "trial-password-of-jobrunners")
    return S3Store(own, signed=links)


def test_a_jobrunner_can_do_its_work(bundled: BundledS3, admin: S3Store, batch: str) -> None:
    given = f"{batch}/input.csv"
    jobrunner = with_links(bundled, {given: admin.signed_link(given, 60)})
    etag = admin.head(given)
    assert etag is not None
    assert jobrunner.get(given, offset=7, length=6, etag=etag.etag) == b"Number"
    assert jobrunner.get(given) == b"Serial Number\n1\n"
    assert jobrunner.head(f"{batch}/a1/00000.json") is None
    jobrunner.put("images/abc/0000001-001.jpg", b"small", JSON)
    jobrunner.put_stream(f"{batch}/a1/00000.run.csv", iter([b"a" * 6_000_000] * 2), JSON)
    jobrunner.put(f"{batch}/a1/00000.json", b"{}", JSON, only_if_absent=True)
    with pytest.raises(AlreadyExistsError):
        jobrunner.put(f"{batch}/a1/00000.json", b"{}", JSON, only_if_absent=True)
    assert jobrunner.get(f"{batch}/a1/00000.json") == b"{}"
    assert jobrunner.get("images/abc/0000001-001.jpg") == b"small"
    jobrunner.close()


def test_a_signed_link_opens_one_version_of_one_object(
    bundled: BundledS3, admin: S3Store, batch: str
) -> None:
    given, other = f"{batch}/input.csv", f"{batch}x/input.csv"
    admin.put(other, b"another's", JSON)
    link = admin.signed_link(given, 60)
    jobrunner = with_links(bundled, {given: link, other: link.replace(batch, f"{batch}x")})
    with pytest.raises(NotFoundError):
        jobrunner.get(given, etag="0" * 32)
    with pytest.raises(AccessDeniedError):
        jobrunner.get(other)
    admin.delete([given])
    with pytest.raises(NotFoundError):
        jobrunner.get(given)
    jobrunner.close()


Action = Callable[[S3Store, str], Any]
FORBIDDEN: dict[str, Action] = {
    "read an input": lambda store, batch: store.get(f"{batch}/input.csv"),
    "read a plan": lambda store, batch: store.get(f"{batch}/plan.json"),
    "change the input": lambda store, batch: store.put(f"{batch}/input.csv", b"evil", JSON),
    "delete the input": lambda store, batch: store.delete([f"{batch}/input.csv"]),
    "change the plan": lambda store, batch: store.put(f"{batch}/plan.json", b"evil", JSON),
    "write an output CSV": lambda store, _: store.put("csvfile/x_output.csv", b"evil", JSON),
    "read an errors CSV": lambda store, _: store.get("csvfile/x_errors.csv"),
    "read what a namespace imports": lambda store, _: store.get("imports/shop/products.csv"),
    "write what a namespace imports": lambda store, _: store.put("imports/shop/x.csv", b"evil", JSON),
    "list batches": lambda store, _: list(store.list("batches/")),
    "list images": lambda store, _: list(store.list("images/")),
    "set the bucket's policy": lambda store, _: store._client.set_bucket_policy("imagebatch", "{}"),
    "make a bucket": lambda store, _: store._client.make_bucket("another"),
}


@pytest.mark.parametrize("action", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_jobrunner_can_do_nothing_else(
    admin: S3Store, jobrunner: S3Store, batch: str, action: Action
) -> None:
    for key in ("csvfile/x_errors.csv", "imports/shop/products.csv", f"{batch}/plan.json"):
        admin.put(key, b"private", JSON)
    with pytest.raises(Exception, match=r"(?i)access ?denied"):
        action(jobrunner, batch)
    assert admin.get(f"{batch}/input.csv") == b"Serial Number\n1\n"


def test_strangers_read_results_only(bundled: BundledS3, admin: S3Store, batch: str) -> None:
    admin.put("csvfile/x_output.csv", b"public", JSON)
    admin.put("csvfile/x_errors.csv", b"private", JSON)
    admin.put("images/abc/0000001-001.jpg", b"public", JSON)
    base = f"http://127.0.0.1:{bundled.port}/imagebatch"

    def status(key: str) -> int:
        return httpx.get(f"{base}/{key}", trust_env=False).status_code

    assert status("csvfile/x_output.csv") == status("images/abc/0000001-001.jpg") == 200
    for key in ("", "?list-type=2", f"{batch}/input.csv", "csvfile/x_errors.csv", "images/", "images/abc/"):
        assert status(key) in {403, 404}, key
    written = httpx.put(f"{base}/images/abc/0000001-001.jpg", content=b"evil", trust_env=False)
    assert written.status_code == 403


def test_wrong_keys_are_refused(bundled: BundledS3, batch: str) -> None:
    with pytest.raises(ImageBatchError):
        bundled.store("imagebatch", "trial-password-of-jobrunners").get(f"{batch}/input.csv")


def test_only_s3_listens_for_others(bundled: BundledS3) -> None:
    """Its filer and volumes would serve private inputs, its master would stop it."""
    listeners = {
        found.laddr.port
        for found in psutil.Process(bundled.pid).net_connections()
        if found.status == psutil.CONN_LISTEN and found.laddr.ip not in {"127.0.0.1", "::1"}
    }
    assert listeners == {bundled.port, bundled.grpc_port}


def test_its_parts_have_keys_between_them(helm: Helm) -> None:
    config = helm.render(QUICKSTART).one("Secret", "imagebatch-s3-config")["stringData"]
    keys = [line for line in config["security.toml"].splitlines() if line.startswith("key = ")]
    assert len(keys) == len(set(keys)) == 4
    assert len(json.loads(config["identities.json"])["identities"]) == 2


def test_the_probe_of_the_pod_is_answered(bundled: BundledS3) -> None:
    assert httpx.get(f"http://127.0.0.1:{bundled.port}/healthz", trust_env=False).status_code == 200
