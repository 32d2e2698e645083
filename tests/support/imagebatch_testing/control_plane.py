"""A Kubernetes API without nodes: etcd and the API server on loopback, no kubelet and no controllers.

What these would do, tests do: they write the status of Jobs and make pods. It needs the program that the
test cluster is built from, etcd and openssl, and starts in seconds.
"""

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imagebatch_cli.data_folder import free_ports
from imagebatch_testing.cluster import pki, prerequisites, programs
from imagebatch_testing.cluster.command import ended, run, tail, until
from imagebatch_testing.cluster.errors import ClusterError, UnavailableError
from imagebatch_testing.cluster.layout import Addresses, Node
from imagebatch_testing.tied import tied

START_S = 60.0
STOP_S = 10.0
LOOPBACK = Node(addresses=Addresses(host="127.0.0.1", node="127.0.0.1"))


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running API server, and who may do everything on it."""

    kubeconfig: Path
    url: str
    token: str
    authority: Path

    def client(self) -> httpx.Client:
        """Asks the API server as its administrator."""
        return httpx.Client(base_url=self.url, headers=self._headers, verify=self.trust, timeout=20)

    def async_client(self) -> httpx.AsyncClient:
        """The same on an event loop."""
        return httpx.AsyncClient(base_url=self.url, headers=self._headers, verify=self.trust, timeout=20)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """What kubectl says. Raises ClusterError with its complaint."""
        return run(*self._kubectl, *words, stdin=stdin)

    def try_kubectl(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """How kubectl ended, and what it said, for tests about refusals."""
        return ended(*self._kubectl, *words, stdin=stdin)

    @property
    def _kubectl(self) -> tuple[str, ...]:
        return (*programs.kubectl(), f"--kubeconfig={self.kubeconfig}")

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def kubeconfig_of(self, url: str, folder: Path) -> Path:
        """A kubeconfig of the administrator's for a proxy before the API server, written into the folder."""
        named = {"name": "proxied"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{**named, "cluster": {"server": url}}],
            "users": [{**named, "user": {"token": self.token}}],
            "contexts": [{**named, "context": {"cluster": "proxied", "user": "proxied"}}],
            "current-context": "proxied",
        }
        path = folder / "proxied.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Start both on an empty folder. Raises UnavailableError where a program is missing."""
    program = _program()
    port, etcd_port, peer_port = free_ports(3)
    pki.write(folder / "pki", LOOPBACK, port)
    token = (folder / "pki/tokens.csv").read_text().partition(",")[0]
    kubeconfig = folder / "pki/admin.kubeconfig"
    running = ControlPlane(kubeconfig, f"https://127.0.0.1:{port}", token, folder / "pki/ca.crt")
    with ExitStack() as stack:
        etcd = f"http://127.0.0.1:{etcd_port}"
        stack.enter_context(_running(_etcd(folder, etcd, peer_port), folder / "etcd.log"))
        server = stack.enter_context(
            _running(_api_server(program, folder / "pki", port, etcd), folder / "kube-apiserver.log")
        )
        client = stack.enter_context(running.client())
        until("the API server is ready", lambda: _is_ready(server, client, folder), START_S)
        yield running


def prepare(plane: ControlPlane, crd: Mapping[str, Any], namespace: str) -> None:
    """Make our resource known, and a namespace."""
    with plane.client() as client:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        client.post("/api/v1/namespaces", json=body).raise_for_status()
        client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=crd).raise_for_status()
        batches = f"/apis/imagebatch.dev/v1alpha1/namespaces/{namespace}/imagebatches"
        until("the resource is served", lambda: client.get(batches).is_success)


def _program() -> Path:
    """The program is built where that is wanted anyway; elsewhere it must be there."""
    found = programs.kubernetes()
    if not found.path.exists() and not prerequisites.in_ci():
        raise UnavailableError("the API server's program is not built yet; `make cluster` builds it")
    for name in ("etcd", "openssl"):
        if shutil.which(name) is None:
            prerequisites.check()
    return found.build()


def _is_ready(server: "subprocess.Popen[bytes]", client: httpx.Client, folder: Path) -> bool:
    if server.poll() is not None:
        log = (folder / "kube-apiserver.log").read_text(errors="replace")
        raise ClusterError(f"the API server ended with {server.returncode}:\n{tail(log)}")
    try:
        return client.get("/readyz").is_success
    except httpx.HTTPError:
        return False


def _etcd(folder: Path, url: str, peer_port: int) -> list[str]:
    flags = {
        "data-dir": folder / "etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": f"http://127.0.0.1:{peer_port}",
        "log-level": "error",
    }
    return ["etcd", "--unsafe-no-fsync", *(f"--{name}={value}" for name, value in flags.items())]


def _api_server(program: Path, keys: Path, port: int, etcd: str) -> list[str]:
    """Nobody makes service accounts here, so no pod is asked for one."""
    flags = {
        "etcd-servers": etcd,
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": port,
        "service-cluster-ip-range": LOOPBACK.addresses.services,
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": keys / "sa.pub",
        "service-account-signing-key-file": keys / "sa.key",
        "token-auth-file": keys / "tokens.csv",
        "authorization-mode": "RBAC",
        "disable-admission-plugins": "ServiceAccount",
        "tls-cert-file": keys / "api.crt",
        "tls-private-key-file": keys / "api.key",
        "client-ca-file": keys / "ca.crt",
        "endpoint-reconciler-type": "none",
    }
    return [str(program), "kube-apiserver", *(f"--{name}={value}" for name, value in flags.items())]


@contextmanager
def _running(command: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program, as long as the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(tied(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
