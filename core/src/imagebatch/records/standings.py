"""How many batches and webhooks are not at their end, for who watches the whole."""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from imagebatch.records.failures import translate_errors

SELECT_BATCHES = """
SELECT CASE WHEN suspended_at IS NULL THEN phase ELSE 'Suspended' END AS phase, count(*) AS number,
    extract(epoch FROM now() - min(created_at))::float8 AS oldest
FROM processing_requests WHERE status = 'pending' GROUP BY 1
"""
SELECT_WEBHOOKS = """
SELECT count(*) AS number, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest
FROM webhook_deliveries WHERE state = 'pending'
"""
"""Both read what an index of the unfinished has, however many rows have ended."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Batches that are not at their end, by phase, suspended ones as Suspended; webhooks that are not
    delivered. Ages are in seconds, 0 where there is none; what is suspended has no age.
    """

    batches: Mapping[str, int]
    oldest_batch_seconds: float
    webhooks: int
    oldest_webhook_seconds: float


class Standings:
    """The calls. Each raises RecordsError when Postgres fails."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @translate_errors
    async def now(self) -> Standing:
        found = await self._pool.fetch(SELECT_BATCHES)
        webhooks = await self._pool.fetchrow(SELECT_WEBHOOKS)
        ages = (each["oldest"] for each in found if each["phase"] != "Suspended")
        return Standing(
            {each["phase"]: each["number"] for each in found},
            max(ages, default=0.0),
            webhooks["number"],
            webhooks["oldest"],
        )
