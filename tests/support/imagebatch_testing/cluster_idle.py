"""What an installation on a cluster does when there is nothing to do, as the cluster and the servers see it."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from imagebatch_testing.cluster.relay import Relay
from imagebatch_testing.cluster.services import SOCKET
from imagebatch_testing.idle import SETTLE_S, Idle
from imagebatch_testing.installation import RELEASE, Installation, is_running, until
from imagebatch_testing.postgres_proxy import PostgresProxy, before

FLUSH_S = 2.0
"""The API server writes its audit log in batches of a second."""

_USAGE = re.compile(
    r'^container_cpu_usage_seconds_total\{container="[^"]+",namespace="(?P<namespace>[^"]+)",pod="(?P<pod>[^"]+)"\}'
    r" (?P<seconds>\S+) (?P<milliseconds>[0-9]+)$",
    re.MULTILINE,
)
"""The kubelet's resource metrics: https://kubernetes.io/docs/reference/instrumentation/node-metrics/"""


@asynccontextmanager
async def counted(installation: Installation, folder: Path) -> AsyncIterator[PostgresProxy]:
    """Let pods reach Postgres by way of a proxy that counts. `folder` is to be short, for it holds a socket."""
    services = installation.services
    async with before(services.local_database_url, folder) as proxy:
        direct = services.postgres.socket
        try:
            _lead(services.postgres, folder / SOCKET)
            await asyncio.to_thread(_until_ready, installation)
            assert proxy.statements, "all statements are counted"
            yield proxy
        finally:
            _lead(services.postgres, direct)
            await asyncio.to_thread(_until_ready, installation)


def _lead(relay: Relay, socket: Path | None) -> None:
    """Lead all connections of a relay elsewhere."""
    relay.cut()
    relay.socket = socket
    relay.mend()


async def measure(installation: Installation, postgres: PostgresProxy, seconds: float) -> Idle:
    """Do nothing for so long, after a moment in which all have connected anew."""
    await asyncio.sleep(SETTLE_S)
    usage = await asyncio.to_thread(_usage, installation)
    statements, requests = len(postgres.statements), installation.services.s3.requests
    began, began_at = time.monotonic(), time.time()
    await asyncio.sleep(seconds)
    lasted, ended_at = time.monotonic() - began, time.time()
    statements = len(postgres.statements) - statements
    requests = installation.services.s3.requests - requests
    later = await asyncio.to_thread(_usage, installation)
    await asyncio.sleep(FLUSH_S)
    return Idle(
        seconds=lasted,
        statements=statements,
        s3_requests=requests,
        cpu={name: (later[name][1] - cpu) / (later[name][0] - at) for name, (at, cpu) in usage.items()},
        api_requests=requests_between(installation, began_at, ended_at),
    )


def _until_ready(installation: Installation) -> None:
    """Until both have found out that their connections have ended, and have new ones."""
    for component in ("api", "operator"):
        installation.kubectl(
            "wait", "--for=condition=Available", f"deployment/{RELEASE}-{component}", "--timeout=60s"
        )
    until(lambda: installation.api.get("/readyz").is_success, "the API to be ready")


def _usage(installation: Installation) -> Mapping[str, tuple[float, float]]:
    """Component -> when the kubelet looked at its container (seconds), and the container's seconds of CPU by then."""
    found = installation.cluster.get("pods", f"--namespace={installation.namespace}")
    pods = [pod for pod in found["items"] if is_running(pod)]
    (node,) = {pod["spec"]["nodeName"] for pod in pods}
    text = installation.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/resource")
    components = {
        pod["metadata"]["name"]: pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods
    }
    return {
        components[usage["pod"]]: (int(usage["milliseconds"]) / 1000, float(usage["seconds"]))
        for usage in _USAGE.finditer(text)
        if usage["namespace"] == installation.namespace and usage["pod"] in components
    }


def requests_between(installation: Installation, began: float, ended: float) -> Mapping[str, int] | None:
    """User agent and account -> requests of the installation's own, watches aside, between two times."""
    log = installation.cluster.audit
    if log is None:
        return None
    ours = f"system:serviceaccount:{installation.namespace}:"
    events = map(json.loads, log.read_text().splitlines())
    return Counter(
        f"{event['userAgent']} as {event['user']['username'].removeprefix(ours)}"
        for event in events
        if event["user"]["username"].startswith(ours)
        and event["verb"] != "watch"
        and began <= datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp() <= ended
    )
