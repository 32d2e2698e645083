"""An operator on a Kubernetes API without nodes, and who plays the Job controller and the kubelet there."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imagebatch.batch.shard import Report, ShardId, commit, indexes_of, indexes_text, write_fragment
from imagebatch.custom_resource import API_VERSION, KIND
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.storage import keys
from imagebatch.storage.store import ObjectStore
from imagebatch_cli.data_folder import free_ports
from imagebatch_operator.names import BATCH_UID, CONTAINER, JOB_INDEX, SHARDS
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.waiting import until

Json = dict[str, Any]

NAMESPACE = "shop"
STOP_S = 20.0
MOMENT = "2026-01-01T00:00:00Z"
MERGE = {"Content-Type": "application/merge-patch+json"}


class OperatorProcess:
    """The operator's program, outside the cluster, with a kubeconfig."""

    def __init__(
        self, plane: ControlPlane, environment: Mapping[str, str], log: Path, namespace: str = NAMESPACE
    ) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("IMAGEBATCH_")},
            "KUBECONFIG": str(plane.kubeconfig),
            **environment,
            "IMAGEBATCH_NAMESPACES": namespace,
            "IMAGEBATCH_OPERATOR_PORT": str(port),
            "IMAGEBATCH_JOBRUNNER_IMAGE": "imagebatch-jobrunner:1",
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "imagebatch_operator"], env=self.environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL; `stop` then waits for the end."""
        assert self._process is not None
        self._process.kill()

    def stop(self, kill: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for that."""
        if self._process is not None:
            self._process.send_signal(kill)
            self._process.wait(STOP_S)
            self._process = None

    @contextmanager
    def running(self) -> Iterator["OperatorProcess"]:
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def said(self) -> str:
        return self._log.read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class Objects:
    """ImageBatches in a namespace, and what the operator makes of them."""

    api: httpx.AsyncClient
    namespace: str = NAMESPACE

    async def in_new_namespace(self, stem: str) -> "Objects":
        """Those of a namespace of the test's own, which no other operator watches."""
        name = new_name(stem)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self._ask("POST", "/api/v1/namespaces", json=body)
        return Objects(self.api, name)

    @property
    def batches(self) -> str:
        """The path of the ImageBatches."""
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/imagebatches"

    @property
    def job_objects(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    def core(self, plural: str) -> str:
        """The path of Kubernetes' own objects of a kind."""
        return f"/api/v1/namespaces/{self.namespace}/{plural}"

    async def create(self, name: str, spec: Mapping[str, Any], **metadata: Any) -> Json:
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": spec,
        }
        return await self._ask("POST", self.batches, json=body)

    async def get(self, name: str) -> Json:
        return await self._ask("GET", f"{self.batches}/{name}")

    async def status(self, name: str) -> Json:
        status: Json = (await self.get(name)).get("status", {})
        return status

    async def change(self, name: str, **spec: Any) -> None:
        await self._ask("PATCH", f"{self.batches}/{name}", json={"spec": spec}, headers=MERGE)

    async def delete(self, name: str) -> None:
        await self._ask("DELETE", f"{self.batches}/{name}")

    async def is_gone(self, name: str) -> bool:
        return (await self.api.get(f"{self.batches}/{name}")).status_code == 404

    async def until_status(self, name: str, holds: Callable[[Json], bool]) -> Json:
        """The status, once it is as wanted."""
        found: Json = {}

        async def is_so() -> bool:
            status = await self.status(name)
            found.clear()
            found.update(status)
            return bool(found) and holds(found)

        try:
            await until(is_so)
        except TimeoutError:
            raise AssertionError(f"waited in vain; the status is {found}") from None
        return found

    async def until_waits(self, name: str, reason: str) -> Json:
        return await self.until_status(name, lambda status: status.get("reason") == reason)

    async def events(self, name: str) -> list[Json]:
        """Its Events, oldest first."""
        query = {"fieldSelector": f"involvedObject.kind={KIND},involvedObject.name={name}"}
        found: list[Json] = (await self._ask("GET", self.core("events"), params=query))["items"]
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    async def jobs(self, uid: str) -> list[Json]:
        query = {"labelSelector": f"{BATCH_UID}={uid}"}
        found: list[Json] = (await self._ask("GET", self.job_objects, params=query))["items"]
        return found

    async def until_job(self, uid: str, holds: Callable[[Json], bool] = lambda _: True) -> Json:
        """The batch's Job that is not being deleted, once it is as wanted."""
        found: list[Json] = []

        async def is_there() -> bool:
            found[:] = [
                job
                for job in await self.jobs(uid)
                if "deletionTimestamp" not in job["metadata"] and holds(job)
            ]
            return bool(found)

        await until(is_there)
        return found[0]

    async def ask(self, method: str, path: str, **given: Any) -> Json:
        return await self._ask(method, path, **given)

    async def _ask(self, method: str, path: str, **given: Any) -> Json:
        answer = await self.api.request(method, path, **given)
        found: Json = answer.json()
        assert answer.is_success, found.get("message")
        return found


class JobController:
    """Plays one Job: its pods, and its status as the Job controller would write it."""

    def __init__(self, objects: Objects, job: Json) -> None:
        self._objects = objects
        self.job = job
        self._pods: dict[int, str] = {}

    @property
    def name(self) -> str:
        return str(self.job["metadata"]["name"])

    @property
    def shards(self) -> tuple[int, ...]:
        """The shard of each of its indexes."""
        return indexes_of(self.job["metadata"]["annotations"][SHARDS])

    async def run(self, *indexes: int) -> None:
        """Pods of these indexes run."""
        for index in indexes:
            await self.make_pod(index, {"running": {"startedAt": MOMENT}}, "Running")
        await self._write()

    async def make_pod(
        self, index: int, state: Json, phase: str = "Pending", conditions: list[Json] | None = None
    ) -> str:
        """A pod of an index whose container is in `state`."""
        template: Json = self.job["spec"]["template"]
        name = f"{self.name}-{index}-{uuid.uuid4().hex[:5]}"
        annotations = {**template["metadata"].get("annotations", {}), JOB_INDEX: str(index)}
        metadata = {"name": name, "labels": template["metadata"]["labels"], "annotations": annotations}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        await self._objects.ask("POST", self._objects.core("pods"), json=body)
        self._pods[index] = name
        await self._set_state(name, state, phase, conditions)
        return name

    async def _set_state(
        self, pod: str, state: Json, phase: str, conditions: list[Json] | None = None
    ) -> None:
        container = {
            "name": CONTAINER, "image": "i", "imageID": "i", "ready": "running" in state, "restartCount": 0,
            "state": state,
        }  # fmt: skip
        status = {"phase": phase, "containerStatuses": [container], "conditions": conditions or []}
        path = f"{self._objects.core('pods')}/{pod}/status"
        await self._objects.ask("PATCH", path, json={"status": status}, headers=MERGE)

    async def end_pod(self, index: int, code: int, words: str = "", at: str = MOMENT) -> None:
        """The container of an index's pod ends."""
        over = {"exitCode": code, "message": words, "startedAt": MOMENT, "finishedAt": at}
        phase = "Succeeded" if code == 0 else "Failed"
        await self._set_state(self._pods.pop(index), {"terminated": over}, phase)

    async def complete(self, *indexes: int) -> None:
        """These indexes are done; the Job, when all are."""
        for index in indexes:
            if index in self._pods:
                await self.end_pod(index, 0)
        await self._add("completedIndexes", indexes)

    async def fail(self, index: int) -> None:
        """This index is given up."""
        await self._add("failedIndexes", [index])

    async def _add(self, field: str, indexes: Any) -> None:
        job = await self._objects.ask("GET", f"{self._objects.job_objects}/{self.name}")
        status: Json = job.get("status", {})
        merged = indexes_text({*indexes_of(status.get(field, "")), *indexes})
        counted = {"completedIndexes": "succeeded", "failedIndexes": "failed"}[field]
        await self._write(**{field: merged, counted: len(indexes_of(merged))})
        after = {**status, field: merged}
        over = [*indexes_of(after.get("completedIndexes", "")), *indexes_of(after.get("failedIndexes", ""))]
        if len(over) == job["spec"]["completions"]:
            await self._end(is_failed=bool(after.get("failedIndexes")), reason="FailedIndexes")

    async def fail_job(self, reason: str, message: str) -> None:
        """The Job fails as a whole, and its pods that run are deleted."""
        for name in self._pods.values():
            await self._delete_pod(name)
        self._pods.clear()
        await self._end(is_failed=True, reason=reason, message=message)

    async def _end(self, *, is_failed: bool, reason: str = "", message: str = "") -> None:
        kinds = ("FailureTarget", "Failed") if is_failed else ("SuccessCriteriaMet", "Complete")
        for count in (1, 2):  # one after the other, as the API server wants them
            conditions = [
                {
                    "type": kind,
                    "status": "True",
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": MOMENT,
                }
                for kind in kinds[:count]
            ]
            more = {} if is_failed or count == 1 else {"completionTime": MOMENT}
            await self._write(conditions=conditions, **more)

    async def _write(self, **status: Any) -> None:
        running = {"active": len(self._pods), "ready": len(self._pods)}
        given = {"startTime": MOMENT, **running, **status}
        path = f"{self._objects.job_objects}/{self.name}/status"
        await self._objects.ask("PATCH", path, json={"status": given}, headers=MERGE)

    async def remove_pods(self) -> None:
        """What becomes of the pods of a Job that is deleted or suspended."""
        selector = {"labelSelector": f"batch.kubernetes.io/job-name={self.name}"}
        found = (await self._objects.ask("GET", self._objects.core("pods"), params=selector))["items"]
        for pod in found:
            await self._delete_pod(pod["metadata"]["name"])
        self._pods.clear()

    async def _delete_pod(self, name: str) -> None:
        await self._objects.ask(
            "DELETE", f"{self._objects.core('pods')}/{name}", json={"gracePeriodSeconds": 0}
        )


def leave_report(store: ObjectStore, shard: ShardId, *, failed: bool = False) -> None:
    """What a jobrunner leaves of a shard of one row with one image, stored or `failed`."""
    row = shard.index + 1
    outcome = ImageOutcome(row=row, slot=1, name=keys.image_name(row, 1, "jpg"), bytes_in=9, bytes_out=4)
    if failed:
        outcome = ImageOutcome(row=row, slot=1, error=ErrorCode.HTTP_STATUS, message="HTTP 404")
    fragment = write_fragment(store, shard, uuid.uuid4().hex, [outcome])
    errors = {str(outcome.error): 1} if outcome.error else {}
    commit(store, shard, Report("run", fragment, 1, Counts().with_outcome(outcome), errors))


def new_name(stem: str) -> str:
    return f"{stem}-{uuid.uuid4().hex[:8]}"
