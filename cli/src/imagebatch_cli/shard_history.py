"""How the runs of one shard have ended, and what follows: the Job controller's part on one machine. Pure."""

from dataclasses import dataclass, replace

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.shard_ends import MAX_REFUSALS, MAX_SHARD_FAILURES, refused


@dataclass(frozen=True, slots=True)
class ShardHistory:
    """The ends of one shard's runs, `counted` ones and all of them.

    `fruitless` are the ends since the batch gained something. `refusals` counts how often in a row the system
    refused the same, which `refusal` says.
    """

    counted: int = 0
    ends: int = 0
    fruitless: int = 0
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
    after = replace(history, ends=history.ends + 1, fruitless=history.fruitless + 1, refusals=0, refusal="")
    if exit_code in {Exit.DONE, Exit.TEMPORARY, Exit.TERMINATED}:
        return after
    if exit_code == Exit.SYSTEM:
        refusals = history.refusals + 1 if reason == history.refusal else 1
        defect = refused(reason) if refusals >= MAX_REFUSALS else ""
        return replace(after, defect=defect, refusals=refusals, refusal=reason)
    if exit_code == Exit.DEFECT:
        return replace(after, defect=reason or "the jobrunner reported a defect")
    counted = history.counted + 1
    given_up = exit_code == Exit.POISON_SHARD or counted >= MAX_SHARD_FAILURES
    return replace(after, counted=counted, given_up=given_up)


def backoff_seconds(history: ShardHistory) -> float:
    """How long a shard waits before its next run: 1, 2, 4 … at most five minutes."""
    return float(min(300, 2 ** min(history.fruitless - 1, 9))) if history.fruitless else 0.0
