"""The exit codes of a jobrunner, which the Job's pod failure policy and the local engine read."""

from enum import IntEnum


class Exit(IntEnum):
    """How a jobrunner ended (sysexits.h where it has a fitting code)."""

    DONE = 0
    """The shard's report exists, whether or not images failed."""
    POISON_SHARD = 65
    """This shard can't be done: its input is gone or not what the plan says. Only this shard fails."""
    SYSTEM = 71
    """The system refused what the program needs, such as memory or a process: try again later, elsewhere.
    The same refusal three times in a row is taken for a defect."""
    TEMPORARY = 75
    """S3 unreachable, denied or with wrong credentials: try again later, do not count it."""
    DEFECT = 78
    """A wrong setting or a bug that no retry cures: the whole batch fails."""
    TERMINATED = 143
    """SIGTERM: stopped from outside."""
