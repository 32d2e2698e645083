"""The failures of Postgres in ImageBatch's own exceptions."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import asyncpg

from imagebatch.batch.lifecycle import Waiting
from imagebatch.errors import RecordsError

P = ParamSpec("P")
R = TypeVar("R")

CALL_S = 60.0
"""Of a call: its statement has half of it, and the wait for a connection, where all are taken, the rest."""

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""InternalClientError is what asyncpg raises, now and then, where a connection breaks between messages."""

_ENDED_BY_SERVER = ("08", "57")
"""Classes of SQLSTATE with which a connection ends: the statement before may have been done."""


@contextmanager
def errors_translated() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise RecordsError(in_words(error)) from error


@dataclass(slots=True)
class Writes:
    """Why Postgres took no write the last time, for those who can read rows and see nothing move in them."""

    refusal: Waiting | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """The block writes: remember how that went."""
        try:
            yield
        except RecordsError as error:
            self.refusal = Waiting(error.reason, str(error))
            raise
        self.refusal = None


def in_words(error: BaseException) -> str:
    return f"Postgres: {type(error).__name__}: {error}"


def is_refusal(error: BaseException) -> bool:
    """Whether the server itself says that it did not do the statement."""
    state = getattr(error, "sqlstate", None) or ""
    return isinstance(error, asyncpg.PostgresError) and bool(state) and not state.startswith(_ENDED_BY_SERVER)


def translate_errors(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    @wraps(call)
    async def translating(*args: P.args, **kwargs: P.kwargs) -> R:
        with errors_translated():
            async with asyncio.timeout(CALL_S):
                return await call(*args, **kwargs)

    return translating
