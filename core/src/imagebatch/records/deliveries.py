"""Deliveries for a batch's user: what became of each; sending one again; tests of a receiver."""

import asyncpg

from imagebatch.records import statements
from imagebatch.records.failures import translate_errors
from imagebatch.records.models import DeliveryState, RecordedDelivery

TEST_LIFE_S = 300.0
"""A test whose sender is gone is forgotten after so long."""


class Deliveries:
    """The calls. Each raises RecordsError when Postgres fails."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @translate_errors
    async def of(self, request_id: str) -> list[RecordedDelivery]:
        """A request's deliveries, one an attempt, the newest first."""
        found = await self._pool.fetch(statements.SELECT_DELIVERIES, request_id)
        return [RecordedDelivery(**each) for each in found]

    @translate_errors
    async def redeliver(self, request_id: str) -> RecordedDelivery | None:
        """Have the newest delivery sent again, under its id and with all its tries; None when there is
        none.
        """
        found = await self._pool.fetchrow(statements.REDELIVER, request_id)
        return RecordedDelivery(**found) if found is not None else None

    @translate_errors
    async def redeliver_once(self, request_id: str, asked: str) -> None:
        """The same, unless what is `asked`, by an id like that of a test, was done in the last minutes."""
        await self._pool.execute(statements.REDELIVER_ONCE, request_id, TEST_LIFE_S, asked)

    @translate_errors
    async def add_test(self, webhook_id: str, url: str, body: str, secret: str = "") -> bool:
        """Have a test sent, which belongs to no request; whether it is new. `secret` says where that is."""
        added = await self._pool.fetchval(statements.INSERT_TEST, webhook_id, TEST_LIFE_S, url, body, secret)
        return added is not None

    @translate_errors
    async def test(self, webhook_id: str) -> DeliveryState | None:
        """How a test stands; None when it is forgotten."""
        found = await self._pool.fetchrow(statements.SELECT_TEST, webhook_id)
        return DeliveryState(**found) if found is not None else None

    @translate_errors
    async def remove_test(self, webhook_id: str) -> None:
        await self._pool.execute(statements.DELETE_TEST, webhook_id)

    @translate_errors
    async def forget_tests(self) -> None:
        """Remove the tests whose senders are gone."""
        await self._pool.execute(statements.FORGET_TESTS, TEST_LIFE_S)
