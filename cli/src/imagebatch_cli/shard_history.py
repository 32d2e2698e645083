"""How the runs of one shard have ended, and what follows: the Job controller's part on one machine. Pure."""

from dataclasses import dataclass

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.shard_ends import MAX_REFUSALS, MAX_SHARD_FAILURES, refused


@dataclass(frozen=True, slots=True)
class ShardHistory:
    """The ends of one shard's runs, `counted` ones and all of them.

    `refusals` counts how often in a row the system refused the same, which `refusal` says.
    """

    counted: int = 0
    ends: int = 0
    given_up: bool = False
    defect: str = ""
    refusals: int = 0
    refusal: str = ""


def after_end(history: ShardHistory, exit_code: int, reason: str) -> ShardHistory:
    """The history after one more run ended, by the rules that the Job's pod failure policy states too.

    Temporary troubles don't count; a defect ends the batch, and so does the same refusal of the system
    `MAX_REFUSALS` times in a row; a poison shard, or one that ended badly `MAX_SHARD_FAILURES` times, is
    given up.
    """
    ends = history.ends + 1
    if exit_code in {Exit.DONE, Exit.TEMPORARY, Exit.TERMINATED}:
        return ShardHistory(history.counted, ends)
    if exit_code == Exit.SYSTEM:
        refusals = history.refusals + 1 if reason == history.refusal else 1
        defect = refused(reason) if refusals >= MAX_REFUSALS else ""
        return ShardHistory(history.counted, ends, defect=defect, refusals=refusals, refusal=reason)
    if exit_code == Exit.DEFECT:
        return ShardHistory(history.counted, ends, defect=reason or "the jobrunner reported a defect")
    counted = history.counted + 1
    given_up = exit_code == Exit.POISON_SHARD or counted >= MAX_SHARD_FAILURES
    return ShardHistory(counted, ends, given_up)


def backoff_seconds(history: ShardHistory) -> float:
    """How long a shard waits before its next run: 1, 2, 4 … at most 60 s."""
    return float(min(60, 2 ** min(history.ends - 1, 6))) if history.ends else 0.0
