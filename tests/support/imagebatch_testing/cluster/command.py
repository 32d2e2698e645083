"""Run programs to their end, bounded in time, and wait on conditions."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imagebatch_testing.cluster.errors import ClusterError

SOON_S = 60.0
POLL_S = 0.05
TAIL_LINES = 25


def run(
    *words: str | Path,
    timeout_s: float = SOON_S,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """The output of a program that succeeded. Raises ClusterError with what it said."""
    done = ended(*words, timeout_s=timeout_s, stdin=stdin, env=env, cwd=cwd)
    if done.returncode:
        said = tail(done.stderr.strip() or done.stdout.strip())
        raise ClusterError(f"{_short(done.args)} ended with {done.returncode}:\n{said}")
    return done.stdout


def ended(
    *words: str | Path,
    timeout_s: float = SOON_S,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """How a program ended. Raises ClusterError when it did not in time, or is not there."""
    command = [str(word) for word in words]
    try:
        return subprocess.run(
            command, input=stdin, env=env, cwd=cwd, timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{_short(command)} took more than {timeout_s:.0f} s") from error
    except FileNotFoundError as error:
        raise ClusterError(f"there is no program {command[0]}") from error


def succeeds(*words: str | Path, timeout_s: float = SOON_S) -> bool:
    try:
        run(*words, timeout_s=timeout_s)
    except ClusterError:
        return False
    return True


def until(what: str, holds: Callable[[], bool], timeout_s: float = SOON_S) -> None:
    """Wait for a condition. Raises ClusterError when it does not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {timeout_s:.0f} s in vain: {what}")
        time.sleep(POLL_S)


def tail(text: str, lines: int = TAIL_LINES) -> str:
    return "\n".join(text.splitlines()[-lines:])


def _short(command: Sequence[str]) -> str:
    line = " ".join(command)
    return line if len(line) < 160 else f"{line[:157]}..."
