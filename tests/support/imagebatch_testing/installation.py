"""ImageBatch on a cluster, as an administrator installs it and as its users see it."""

import base64
import csv
import io
import json
import secrets
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
from standardwebhooks import Webhook

from imagebatch.storage.s3 import S3Store
from imagebatch_testing.cluster.access import Cluster
from imagebatch_testing.cluster.services import Services
from imagebatch_testing.shop import Hook, Shop

CHART = Path(__file__).parents[3] / "charts" / "imagebatch"
RELEASE = "imagebatch"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
DEADLINE_S = 150.0
POLL_S = 0.3
TERMINAL = ("Complete", "Failed", "Cancelled")

T = TypeVar("T")
Json = dict[str, Any]


def until(look: Callable[[], T | None], what: str, seconds: float = DEADLINE_S) -> T:
    """Look until there is something true; fails with `what` was waited for."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(POLL_S)


@dataclass(frozen=True)
class Installation:
    """A release of the chart in a namespace of its own."""

    cluster: Cluster
    namespace: str
    services: Services
    store: S3Store
    webhook_secret: str
    api: httpx.Client = field(repr=False)

    # -- ImageBatches --------------------------------------------------------------------------------

    def apply(self, name: str, source: Json, **spec: Any) -> None:
        """What `kubectl apply` does with an ImageBatch."""
        self.cluster.apply(
            {
                "apiVersion": "imagebatch.dev/v1alpha1",
                "kind": "ImageBatch",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"source": source, **spec},
            }
        )

    def patch(self, name: str, **spec: Any) -> None:
        self.kubectl("patch", "ib", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def kubectl(self, *words: str, **given: Any) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *words, **given)

    def status(self, name: str) -> Json:
        found: Json = self.cluster.get("ib", name, f"--namespace={self.namespace}").get("status", {})
        return found

    def until_status(
        self, name: str, holds: Callable[[Json], object], what: str, seconds: float = DEADLINE_S
    ) -> Json:
        """Wait until the object's status is as wanted; shows it when it never is."""
        status: Json = {}

        def look() -> Json | None:
            nonlocal status
            status = self.status(name)
            return status if holds(status) else None

        try:
            return until(look, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {json.dumps(status)}\n{self.story(name)}") from None

    def until_phase(self, name: str, *phases: str, seconds: float = DEADLINE_S) -> Json:
        return self.until_status(
            name, lambda status: status.get("phase") in phases, f"{name} to be {phases}", seconds
        )

    def until_end(self, name: str, seconds: float = DEADLINE_S) -> Json:
        return self.until_phase(name, *TERMINAL, seconds=seconds)

    def until_waits(self, name: str, reason: str, seconds: float = 60.0) -> str:
        """Wait until Progressing gives a reason; returns its message."""
        status = self.until_status(
            name,
            lambda status: condition(status, "Progressing").get("reason") == reason,
            f"{name} to say {reason}",
            seconds,
        )
        return str(condition(status, "Progressing")["message"])

    def story(self, name: str) -> str:
        """What `kubectl describe` tells at its end."""
        return self.kubectl("describe", "ib", name).partition("Events:")[2]

    # -- pods ----------------------------------------------------------------------------------------

    def pods(self, name: str) -> list[Json]:
        """The jobrunner pods of a batch."""
        found = self.cluster.get(
            "pods", f"--namespace={self.namespace}", f"--selector=imagebatch.dev/batch={name}"
        )
        items: list[Json] = found["items"]
        return items

    def until_running(self, name: str, count: int = 1) -> list[Json]:
        """Wait until so many pods of a batch run."""

        def look() -> list[Json] | None:
            running = [pod for pod in self.pods(name) if is_running(pod)]
            return running if len(running) >= count else None

        return until(look, f"{count} pods of {name} to run")

    def operator_pods(self) -> list[Json]:
        selector = "--selector=app.kubernetes.io/component=operator"
        items: list[Json] = self.cluster.get("pods", f"--namespace={self.namespace}", selector)["items"]
        return items

    def kill_operator(self) -> None:
        """SIGKILL, as the kernel would; the kubelet starts it again."""
        (pod,) = [pod for pod in self.operator_pods() if is_running(pod)]
        self.cluster.kill(self.namespace, pod["metadata"]["name"], "operator")

    def scale_operator(self, replicas: int) -> None:
        self.kubectl("scale", f"deployment/{RELEASE}-operator", f"--replicas={replicas}")

        def look() -> bool:
            pods = self.operator_pods()
            return len(pods) == replicas and all(is_running(pod) for pod in pods)

        until(look, f"{replicas} operators")

    def upgrade_operator(self) -> None:
        """What `helm upgrade` does when a release brings another image of the operator."""
        name, _, tag = self.cluster.next_image("operator").rpartition(":")
        image = json.dumps({"repository": name, "tag": tag})
        self.cluster.run_helm(
            "upgrade", RELEASE, CHART, f"--namespace={self.namespace}", "--reuse-values",
            "--set-json", f"operator.image={image}", "--wait", "--timeout=3m",
        )  # fmt: skip

    # -- results -------------------------------------------------------------------------------------

    def output(self, status: Json) -> list[list[str]]:
        """The output CSV as anybody gets it by its link: all records, with the header."""
        response = httpx.get(status["outputCsv"], trust_env=False)
        response.raise_for_status()
        return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))

    def errors(self, status: Json) -> list[list[str]]:
        """errors.csv, by way of the API."""
        response = self.api.get(f"/batches/{status['requestId']}/errors.csv")
        response.raise_for_status()
        return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))

    def delivered(self, shop: Shop, path: str) -> Hook:
        """The one webhook that came, its signature checked."""
        hooks = until(lambda: shop.hooks.get(path), f"a webhook at {path}")
        verify(hooks[0], self.webhook_secret)
        ids = {hook.headers["webhook-id"] for hook in hooks}
        assert len(ids) == 1, f"{len(ids)} webhook ids"
        return hooks[0]


def verify(hook: Hook, secret: str) -> None:
    """Raises when a hook is not signed with this secret."""
    Webhook(secret).verify(hook.body, hook.headers)


def condition(status: Json, kind: str) -> Json:
    return next((found for found in status.get("conditions", ()) if found["type"] == kind), {})


def is_running(pod: Json) -> bool:
    """Whether its container runs, and nobody ends it."""
    states = [found["state"] for found in pod["status"].get("containerStatuses", ())]
    return "deletionTimestamp" not in pod["metadata"] and any("running" in state for state in states)


def new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


@contextmanager
def installed(cluster: Cluster, namespace: str, services: Services) -> Iterator[Installation]:
    """Install the chart with helm, as its README says; uninstall it at the end."""
    secret = new_secret()
    _make_secrets(cluster, namespace, services, secret)
    values = _values(cluster, services)
    cluster.run_helm(
        "install", RELEASE, CHART, f"--namespace={namespace}", "--wait", "--timeout=3m",
        *(word for name, value in values.items() for word in ("--set-json", f"{name}={json.dumps(value)}")),
    )  # fmt: skip
    settings = services.s3_settings
    store = S3Store(settings)
    try:
        with (
            _forwarded(cluster, namespace) as url,
            httpx.Client(base_url=url, trust_env=False, timeout=30) as api,
        ):
            yield Installation(cluster, namespace, services, store, secret, api)
    finally:
        store.close()
        cluster.kubectl(
            "delete", "ib", "--all", f"--namespace={namespace}", "--wait=true", "--timeout=60s", timeout_s=90
        )
        cluster.run_helm("uninstall", RELEASE, f"--namespace={namespace}", "--wait")


@contextmanager
def installed_alone(cluster: Cluster, services: Services) -> Iterator[Installation]:
    """The same in a namespace of its own, made and deleted."""
    name = f"imagebatch-{uuid.uuid4().hex[:8]}"
    metadata = {"name": name, "labels": RESTRICTED}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    with installed(cluster, name, services) as installation:
        yield installation
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _make_secrets(cluster: Cluster, namespace: str, services: Services, webhook_secret: str) -> None:
    s3 = services.s3_settings
    keys = {"accessKey": s3.s3_access_key, "secretKey": s3.s3_secret_key.get_secret_value()}
    contents: Mapping[str, Mapping[str, str]] = {
        "database": {"url": services.database_url},
        "s3": keys,
        "jobrunner-s3": keys,
        "webhook": {"secret": webhook_secret},
    }
    for name, content in contents.items():
        metadata = {"name": name, "namespace": namespace}
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content})


def _values(cluster: Cluster, services: Services) -> Json:
    s3 = services.s3_settings
    this_machine = f"{cluster.host_address}/32"
    here = [{"ipBlock": {"cidr": this_machine}}]
    images: Json = {}
    for member in ("api", "operator", "jobrunner"):
        name, _, tag = cluster.images[member].rpartition(":")
        images[f"{member}.image"] = {"repository": name, "tag": tag}
    return {
        **images,
        "crds.keep": False,
        "api.replicas": 1,
        "api.allowAnonymous": True,
        "database.existingSecret": "database",
        "s3.existingSecret": "s3",
        "s3.jobrunner.existingSecret": "jobrunner-s3",
        "s3.endpoint": s3.s3_endpoint,
        "s3.bucket": s3.s3_bucket,
        "s3.addressing": "path",
        "s3.createBucket": True,
        "webhooks.existingSecret": "webhook",
        "allowedNetworks": [{"cidr": this_machine}],
        "networkPolicy.s3.to": here,
        "networkPolicy.database": {"to": here, "ports": []},
        "jobrunner.resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
    }


@contextmanager
def _forwarded(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The API's URL on this machine, by `kubectl port-forward`."""
    command = [
        *cluster.kubectl_command,
        "port-forward",
        f"--namespace={namespace}",
        f"service/{RELEASE}-api",
        ":80",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = line.split(" -> ")[0].rpartition(":")[2]
            assert port.isdigit(), f"port-forward said {line!r}"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def seconds_since(timestamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
