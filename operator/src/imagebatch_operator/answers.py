"""What users ask of the operator by annotations of their objects: each value is answered once, in the status.

docs/decisions/0019-asking-the-operator.md says why. The reconciler calls this at each look; where nothing is
asked, it costs nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import ImageBatchError
from imagebatch.records import Request
from imagebatch_operator.kube import KubeError
from imagebatch_operator.links import Links
from imagebatch_operator.look import Look, earliest
from imagebatch_operator.webhook_tests import WebhookTests
from imagebatch_operator.webhooks import Seen, Webhooks

RETRY_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Answers whatever is asked. What can't be answered now does not hold up the batch."""

    links: Links
    tests: WebhookTests
    webhooks: Webhooks

    async def give(self, batch: ImageBatch, request: Request, seen: Seen) -> Look:
        look = Look(batch)
        for answer in (
            lambda now: self.links.keep(now, request),
            self.tests.keep,
            lambda now: self.webhooks.redeliver(now, request, seen),
        ):
            found = await _answered(answer, look.batch)
            look = Look(found.batch, earliest(look.due_s, found.due_s))
        return look


async def _answered(answer: Callable[[ImageBatch], Awaitable[Look]], batch: ImageBatch) -> Look:
    try:
        return await answer(batch)
    except ImageBatchError as error:
        if isinstance(error, KubeError) and not error.is_worth_showing:
            raise  # the object is read again before anything else
        log.warning("not answered yet", batch=batch.key.name, error=str(error))
        return Look(batch, RETRY_S)
