"""The watches, by kopf: every change of an object, its Job or its pods marks the object's key, no more.

kopf's handlers for creations and updates are edge-triggered and race with each other; `on.event` fires for
everything, also for what was there before the start, and the reconcile looks for itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from imagebatch.batch.work_queue import Key
from imagebatch.custom_resource import GROUP, PLURAL, VERSION
from imagebatch_operator.names import BATCH, BATCH_UID, JOBRUNNER_LABELS, JOBRUNNER_SELECTOR
from imagebatch_operator.pod_cache import PodCache

Json = Mapping[str, Any]
Mark = Callable[[Key], None]

INACTIVITY_S = 70.0
SERVER_TIMEOUT_S = 300
REQUEST_TIMEOUT_S = 30.0


def registry(mark: Mark, pods: PodCache) -> kopf.OperatorRegistry:
    """Handlers for everything that is watched."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    def login(**given: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - passed on
        return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def batch_changed(namespace: str | None, name: str | None, **_: object) -> None:
        mark(Key(str(namespace), str(name)))

    @kopf.on.event("batch", "v1", "jobs", labels=JOBRUNNER_LABELS, registry=found)
    async def job_changed(body: Json, **_: object) -> None:
        _mark_batch(mark, body)

    @kopf.on.event("", "v1", "pods", labels=JOBRUNNER_LABELS, registry=found)
    async def pod_changed(body: Json, type: str | None, **_: object) -> None:  # noqa: A002 - kopf's name
        uid = body["metadata"]["labels"].get(BATCH_UID, "")
        pods.see(uid, body, is_gone=type == "DELETED")
        _mark_batch(mark, body)

    return found


def _mark_batch(mark: Mark, body: Json) -> None:
    """Mark the batch that a Job or pod belongs to."""
    name = body["metadata"].get("annotations", {}).get(BATCH)
    if name:
        mark(Key(body["metadata"]["namespace"], name))


def settings() -> kopf.OperatorSettings:
    """How kopf watches, and that it does nothing else."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True
    found.scanning.disabled = True
    found.watching.inactivity_timeout = INACTIVITY_S
    found.watching.server_timeout = SERVER_TIMEOUT_S
    found.watching.label_selectors["batch", "v1", "jobs"] = JOBRUNNER_SELECTOR
    found.watching.label_selectors["", "v1", "pods"] = JOBRUNNER_SELECTOR
    found.networking.request_timeout = REQUEST_TIMEOUT_S
    found.persistence.finalizer = f"{GROUP}/kopf"
    found.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{GROUP}")
    found.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"kopf.{GROUP}")
    return found
