"""What the driver needs of whoever runs a batch's shards.

Two implementations: `imagebatch_operator.job_executor` by an Indexed Job, `imagebatch_cli.process_executor`
by processes of this machine.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from imagebatch.batch.lifecycle import Waiting
from imagebatch.batch.plan import Plan
from imagebatch.batch.spec import BatchSpec
from imagebatch.csv.ingest import Ingested
from imagebatch.records import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRuns:
    """Which of a batch's shards run, and which have ended.

    `active` shards run now; `started` is how many runs there are, those included that still wait for a
    machine. `ended` are the shards whose last run is over, each with a name of that run; `given_up` ones
    will not be run again. `trouble` is how a run ended last that ended badly, `defect` why no shard of the
    batch can be run, both in words.
    """

    active: frozenset[int] = frozenset()
    started: int = 0
    ended: Mapping[int, str] = field(default_factory=dict)
    given_up: frozenset[int] = frozenset()
    trouble: str = ""
    defect: str = ""


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """How many shards a batch has, how many are done, at work, and given up."""

    total: int
    done: int
    active: int
    failed: int = 0

    @classmethod
    def of(cls, plan: Plan, done: AbstractSet[int], runs: ShardRuns) -> "ShardCounts":
        return cls(len(plan.shards), len(done), runs.started, len(runs.given_up - done))

    @property
    def waiting(self) -> int:
        """Those whose turn has not come."""
        return max(self.total - self.done - self.active - self.failed, 0)


class Executor(Protocol):
    """Runs the shards of one attempt at a batch. Every call may raise UnavailableError."""

    @property
    def downloads_source(self) -> bool:
        """Whether the source comes from a stranger's host, which may be slow."""
        ...

    async def read_source(self) -> Ingested:
        """Write the canonical CSV and the plan. Raises InputRefusedError for a source that is not usable."""
        ...

    async def observe(self) -> ShardRuns:
        """What runs by now."""
        ...

    async def run(self, shards: frozenset[int], plan: Plan, spec: BatchSpec) -> float:
        """Have these shards run, as many at once as the spec allows; called again at each look.

        Returns in how many seconds to look again at the latest.
        """
        ...

    async def waiting(self, last_done: datetime) -> Waiting | None:
        """Why the shards make no progress, if they make none; troubles before `last_done` are over."""
        ...

    async def suspend(self) -> None:
        """Stop what runs; it will be run again."""
        ...

    async def stop(self) -> bool:
        """Stop what runs, for good; whether it has stopped."""
        ...

    async def show(self, request: Request, shards: ShardCounts | None) -> None:
        """Show the user how an unfinished batch stands. The row is written already.

        `shards` is None where the plan is not known.
        """
        ...
