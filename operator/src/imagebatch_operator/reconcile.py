"""The one reconcile of an object: its finalizer, its row, the driver's steps, and what comes after the end.

Level-triggered: it looks at what is there now. Nothing that matters is remembered, so a crash at any point,
or a second operator by mistake, costs time and nothing else. The work queue calls it for each object that
changed.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from imagebatch.batch.driver import BatchDriver
from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.batch.services import Services as DriverServices
from imagebatch.batch.work_queue import Key
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import ConflictError, FilesRemovedError, ImageBatchError, UnavailableError
from imagebatch.records import Request
from imagebatch_operator import job_executor
from imagebatch_operator.answers import Answers
from imagebatch_operator.cleanup import LOOK_S
from imagebatch_operator.job_executor import JobExecutor
from imagebatch_operator.look import earliest
from imagebatch_operator.recorded import kept_as_wanted, recorded
from imagebatch_operator.webhooks import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a reconciler passes to its drivers and executors, and what answers users."""

    drivers: DriverServices
    executors: job_executor.Services
    answers: Answers


@dataclass(slots=True)
class _Attempt:
    """What is kept of an attempt between reconciles; all of it can be found again, or done again."""

    uid: str
    number: int
    driver: BatchDriver
    executor: JobExecutor
    seen: Seen = field(default_factory=Seen)


class Reconciler:
    """Reconciles objects, each as often as it is called."""

    def __init__(self, services: Services) -> None:
        self._with = services
        self._attempts: dict[Key, _Attempt] = {}

    def is_known(self, key: Key) -> bool:
        """Whether the object has been reconciled, and is there as far as is known."""
        return key in self._attempts

    async def reconcile(self, key: Key) -> float | None:
        """Advance the object; returns in how many seconds to look again at the latest, None for never."""
        body = await self._with.executors.kube.get_batch(*key)
        if body is None:
            self._forget(key)
            return None
        batch = ImageBatch(body)
        with structlog.contextvars.bound_contextvars(request_id=batch.request_id):
            if batch.is_deleted:
                return await self._remove(batch)
            if not self._with.executors.cleanup.protects(batch):
                batch = await self._with.executors.cleanup.protect(batch)
            return await self._advance(batch)

    def row_changed(self, request: Request) -> Key | None:
        """Have a row read again that something else changed; the key of its object, if there is one."""
        for key, attempt in self._attempts.items():
            if attempt.uid == request.owner:
                attempt.driver.row.distrust()
                return key
        return None

    def webhook_sent(self, request_id: str) -> Key | None:
        """Have a webhook looked at again that was sent once more, whoever asked for it; the object's key."""
        for key, attempt in self._attempts.items():
            if attempt.driver.row.request.request_id == request_id and attempt.seen.is_over:
                attempt.seen.forget()
                return key
        return None

    async def _remove(self, batch: ImageBatch) -> float | None:
        """Carry a deletion out, once no background task runs for the object."""
        self._with.executors.status.forget(batch)
        attempt = self._attempts.get(batch.key)
        if attempt is not None and not attempt.driver.stop_background():
            return LOOK_S
        return await self._with.executors.cleanup.remove(batch)

    def _forget(self, key: Key) -> None:
        attempt = self._attempts.pop(key, None)
        if attempt is not None:
            attempt.driver.stop_background()

    async def _advance(self, batch: ImageBatch) -> float | None:
        """Take steps as long as one leads to the next at once; then what comes after the end."""
        while True:
            try:
                attempt = await self._attempt(batch)
            except ConflictError as error:
                await self._refuse(batch, error, "RequestIdTaken")
                return None
            except FilesRemovedError as error:
                await self._refuse(batch, error, "FilesRemoved")
                shown = batch.request()
                return await self._with.executors.cleanup.expire(batch, shown, shown.read_at)
            look = await self._with.answers.give(batch, attempt.driver.row.request, attempt.seen)
            if attempt.driver.row.request.status != "pending":
                return earliest(look.due_s, await self._after_end(look.batch, attempt))
            attempt.executor.batch = look.batch
            after_s = await attempt.driver.advance(batch.spec)
            if after_s:
                return earliest(look.due_s, after_s)
            fresh = await self._with.executors.kube.get_batch(*batch.key)
            if fresh is None or ImageBatch(fresh).is_deleted:
                return 0.0
            batch = ImageBatch(fresh)

    async def _attempt(self, batch: ImageBatch) -> _Attempt:
        """The object's attempt, with its row as it is. Raises ConflictError when that is another object's."""
        attempt = self._attempts.get(batch.key)
        if attempt is not None and (attempt.uid, attempt.number) != (batch.uid, batch.attempt):
            self._forget(batch.key)
            attempt = None
        if attempt is not None and attempt.driver.row.is_known:
            return attempt
        request = await self._row(batch, attempt)
        if attempt is None:
            executor = JobExecutor(self._with.executors, batch)
            made = BatchDriver(self._with.drivers, executor, batch.key, request)
            attempt = self._attempts[batch.key] = _Attempt(batch.uid, batch.attempt, made, executor)
        else:
            attempt.driver.row.renew(request)
        return attempt

    async def _row(self, batch: ImageBatch, attempt: _Attempt | None) -> Request:
        """The object's row. When it can't be had, the object's status shows that."""
        try:
            return await recorded(self._with.drivers.records, self._with.drivers.store, batch)
        except ConflictError:
            raise
        except UnavailableError as error:
            known = attempt.driver.row.request if attempt is not None else batch.request()
            if not known.phase.is_terminal:
                waiting = replace(known, waiting=Waiting(error.reason, str(error)))
                await self._with.executors.status.write(batch, waiting)
            raise

    async def _refuse(self, batch: ImageBatch, error: ImageBatchError, reason: str) -> None:
        """End an object whose id has another object's row, or whose next attempt can't begin."""
        if not batch.is_shown_finished:
            ended = replace(
                batch.request(),
                phase=Phase.FAILED,
                message="Not run",
                error=str(error),
                reason=reason,
                finished_at=datetime.now(UTC),
            )
            await self._with.executors.status.write(batch, ended)

    # -- after the end -------------------------------------------------------------------------------

    async def _after_end(self, batch: ImageBatch, attempt: _Attempt) -> float | None:
        """Show the end as the row has it; clean up, follow the webhook, and delete after the TTL."""
        services, row = self._with.executors, attempt.driver.row
        request = await kept_as_wanted(self._with.drivers.records, batch, row.request)
        if request is not row.request:
            row.renew(request)
        written = await services.status.write(batch, request, attempt.driver.shards)
        attempt.driver.release()
        await services.cleanup.delete_jobs(batch)
        look = await self._with.answers.webhooks.follow(written, request, attempt.seen)
        ttl_due = await services.cleanup.expire(look.batch, request, attempt.driver.row.now())
        return earliest(look.due_s, ttl_due)
