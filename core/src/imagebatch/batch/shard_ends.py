"""What the end of a shard's run means: the same for processes and for pods."""

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.lifecycle import Waiting

MAX_REFUSALS = 3
"""The same refusal by the system, so many times in a row for one shard, is a defect: once may be a full
machine; in three fresh processes or pods it is no chance.
"""

MAX_SHARD_FAILURES = 4
"""A shard is given up after this many ends that count: the first and three more."""


def refused(reason: str) -> str:
    """The defect, in words, when the system refused the same `MAX_REFUSALS` times in a row."""
    return f"{MAX_REFUSALS} times in a row: {reason or 'the system refused what the jobrunner needs'}"


def waiting_after(exit_code: int, words: str) -> Waiting:
    """Why a batch waits after its jobrunner ended with this code; `words` are its last message."""
    match exit_code:
        case Exit.TEMPORARY:
            return Waiting("StoreUnavailable", f"tried again until it works: {words}")
        case Exit.SYSTEM:
            return Waiting("SystemRefused", f"tried again: {words}")
    return Waiting("ShardsFailing", f"a jobrunner ended with code {exit_code}: {words}")
