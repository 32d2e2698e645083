"""What the end of a shard's run means: the same for processes and for pods."""

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.lifecycle import Waiting

MAX_REFUSALS = 3
"""So often in a row must the system refuse a shard's runs the same before that is a defect: once may be a
full machine; in three fresh processes or pods it is no chance.
"""

MAX_SHARD_FAILURES = 4
"""A shard is given up after this many ends that count: the first and three more."""


def refused(reason: str) -> str:
    """The defect that a system which refuses the same again and again stands for."""
    return f"{MAX_REFUSALS} times in a row: {reason or 'the system refused what the jobrunner needs'}"


def waiting_after(exit_code: int, words: str) -> Waiting:
    """Why a batch waits whose jobrunner ended so; `words` are the jobrunner's last."""
    match exit_code:
        case Exit.TEMPORARY:
            return Waiting("StoreUnavailable", f"tried again until it works: {words}")
        case Exit.SYSTEM:
            return Waiting("SystemRefused", f"tried again: {words}")
    return Waiting("ShardsFailing", f"a jobrunner ended with code {exit_code}: {words}")
