"""Kills a program at its N-th call to the servers behind proxies, once the server has done what it was asked
and before the program hears of it.

A kill before call N+1 leaves the same in the world as one after call N: so a test that goes through every N
has seen both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg


@dataclass
class CrashPoint:
    """`calls` are those made since `arm`, over all proxies; at the `at`-th, from 1, `kill` is called."""

    kill: Callable[[], None]
    at: int = 0
    calls: list[str] = field(default_factory=list)
    crashed_at: str = ""

    def arm(self, at: int) -> None:
        """Count anew, and crash at call `at`; 0 is never."""
        self.at, self.crashed_at = at, ""
        self.calls.clear()

    def is_next(self, call: str) -> bool:
        """Take note of a call; whether it is the one whose answer is to be lost."""
        self.calls.append(call)
        return len(self.calls) == self.at

    def crash(self) -> None:
        self.crashed_at = self.calls[self.at - 1]
        self.kill()


async def let_claims_end(database_url: str) -> None:
    """End what a killed program had claimed now, rather than in the minute after which others may have it."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE webhook_deliveries SET due_at = now() WHERE state = 'pending'")
    await connection.close()
