"""Keeps and removes what a batch leaves: the finalizer, Jobs and their pods, working files, the object."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import structlog

from imagebatch.batch.finish import commit
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import StoreError
from imagebatch.records import Records, Request
from imagebatch.storage import keys
from imagebatch.storage.store import ObjectStore
from imagebatch_operator.kube import Json, Kube
from imagebatch_operator.names import BATCH_UID, FINALIZER
from imagebatch_operator.pod_cache import PodCache
from imagebatch_operator.pods import pod_facts

LOOK_S = 0.5
STORE_PATIENCE = timedelta(minutes=2)
"""A deletion waits so long for S3: a namespace must not stay for ever because its S3 went first."""

OVER = frozenset({"Succeeded", "Failed"})
"""The phases of pods whose containers have all ended, for good."""

DELETED = Ending(Phase.CANCELLED, "Its ImageBatch was deleted", "deleted", "Deleted")

log = structlog.get_logger()


class Cleanup:
    """Removes what is no longer needed. `webhook_owed` is called after a commit that owes a webhook."""

    def __init__(
        self,
        kube: Kube,
        records: Records,
        store: ObjectStore,
        pods: PodCache,
        webhook_owed: Callable[[], None],
    ) -> None:
        self._kube = kube
        self._records = records
        self._store = store
        self._pods = pods
        self._webhook_owed = webhook_owed

    def selector(self, batch: ImageBatch) -> str:
        """Selects the Jobs and pods of a batch."""
        return f"{BATCH_UID}={batch.uid}"

    def protects(self, batch: ImageBatch) -> bool:
        """Whether the object has our finalizer."""
        return FINALIZER in batch.finalizers

    async def protect(self, batch: ImageBatch) -> ImageBatch:
        """Add our finalizer, before anything is done that would have to be undone."""
        return await self._set_finalizers(batch, [*batch.finalizers, FINALIZER])

    async def _set_finalizers(self, batch: ImageBatch, finalizers: list[str]) -> ImageBatch:
        version = batch.metadata["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
        return ImageBatch(await self._kube.patch_batch(*batch.key, patch))

    async def delete_jobs(self, batch: ImageBatch) -> None:
        """Delete the batch's Jobs, and in the background their pods."""
        for job in await self._kube.list_jobs(batch.key.namespace, self.selector(batch)):
            if "deletionTimestamp" not in job["metadata"]:
                await self._kube.delete_job(job)

    async def stop(self, batch: ImageBatch) -> bool:
        """Delete the batch's Jobs; whether its pods are gone."""
        await self.delete_jobs(batch)
        return not await self._pods_now(batch)

    async def has_unfinished_pods(self, batch: ImageBatch) -> bool:
        """Whether any of the batch's pods may still write."""
        found = await self._pods_now(batch)
        return any(pod.get("status", {}).get("phase") not in OVER for pod in found)

    async def forget_stuck_pods(self, batch: ImageBatch) -> None:
        """Delete pods that their node does not end: the Job would wait for them for ever."""
        await self._pods_now(batch)

    async def _pods_now(self, batch: ImageBatch) -> list[Json]:
        """The batch's pods. Those that their node does not end are deleted without waiting for it."""
        found, now = await self._kube.list_pods(batch.key.namespace, self.selector(batch)), datetime.now(UTC)
        for pod in found:
            if pod_facts(pod).is_stuck(now):
                log.warning("pod forgotten: its node does not end it", pod=pod["metadata"]["name"])
                await self._kube.delete_pod_now(pod)
        return found

    async def expire(self, batch: ImageBatch, request: Request, now: datetime) -> float | None:
        """Delete a finished object after its TTL; returns in how many seconds to look again, if ever.

        `now` is by Postgres's clock, as the end of the request is.
        """
        if batch.ttl_seconds is None or request.finished_at is None:
            return None
        left = batch.ttl_seconds - (now - request.finished_at).total_seconds()
        if left <= 0:
            log.info("object deleted after its TTL", batch=batch.key.name)
            await self._kube.delete_batch(batch.body)
        return max(left, LOOK_S)

    async def remove(self, batch: ImageBatch) -> float | None:
        """Carry a deletion out: pods first, then the row's end, then working files, then the object."""
        if not self.protects(batch):
            return None
        if not await self.stop(batch):
            return LOOK_S
        request = await self._records.get(batch.request_id)
        if request is not None and request.owner == batch.uid:
            was_finished = request.status != "pending"
            if not was_finished:
                await commit(self._records, self._store, request, DELETED, None)
                if request.webhook_url:
                    self._webhook_owed()
            await self._remove_files(batch, request, was_finished=was_finished)
        kept = [name for name in batch.finalizers if name != FINALIZER]
        await self._set_finalizers(batch, kept)
        self._pods.forget(batch.uid)
        return None

    async def _remove_files(self, batch: ImageBatch, request: Request, *, was_finished: bool) -> None:
        """Remove working files; of a batch that was not finished, its images too: no CSV names them."""
        prefixes = [keys.batch_prefix(request.request_id)]
        has_had_csvs = request.output_key is not None or request.removed.outputs is not None
        if not was_finished and not has_had_csvs:
            prefixes.append(keys.image_prefix(request.request_id))
        try:
            await asyncio.to_thread(_delete_all, self._store, prefixes)
        except StoreError as error:
            asked = datetime.fromisoformat(batch.metadata["deletionTimestamp"])
            if datetime.now(UTC) - asked < STORE_PATIENCE:
                raise
            log.warning("files stay on S3", request_id=request.request_id, error=str(error))


def _delete_all(store: ObjectStore, prefixes: list[str]) -> None:
    def found() -> Iterator[str]:
        for prefix in prefixes:
            for stored in store.list(prefix):
                yield stored.key

    store.delete(found())
    for prefix in prefixes:
        for upload in list(store.unfinished(prefix)):
            store.end(upload)
