"""The receivers of webhooks in examples/receivers, as programs that run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebatch_testing.cluster import programs
from imagebatch_testing.cluster.command import until
from imagebatch_testing.cluster.errors import UnavailableError

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "receivers"
NAMES = ("python", "python with the library", "node", "go")


def command(name: str) -> tuple[str, ...]:
    """How one is started. Raises UnavailableError with the line that says what is missing."""
    if name == "python":
        return (
            sys.executable,
            "-S",
            str(FOLDER / "python" / "standard_library.py"),
        )  # -S: no library is found
    if name == "python with the library":
        return (sys.executable, str(FOLDER / "python" / "with_standardwebhooks.py"))
    if name == "node":
        node = shutil.which("node")
        if node is None:
            raise UnavailableError("there is no program node")
        return (node, str(FOLDER / "node" / "receiver.mjs"))
    return (str(programs.receiver().build()),)


@dataclass(frozen=True)
class ExampleReceiver:
    """One that runs."""

    name: str
    url: str
    log: Path

    def got(self, message_id: str) -> list[str]:
        """What it printed of a message, a line each time that it took it for new."""
        lines = [line.partition(" ") for line in self.log.read_text().splitlines()]
        return [rest for found, _, rest in lines if found == message_id]


@contextmanager
def running(name: str, secret: str, log: Path) -> Iterator[ExampleReceiver]:
    """Start one on any port; what it says is in `log`."""
    env = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret, "PORT": "0"}
    with log.open("wb") as out, subprocess.Popen(command(name), env=env, stdout=out, stderr=out) as process:
        try:
            until(f"the receiver in {name} to listen", lambda: "listening on " in log.read_text())
            address = log.read_text().partition("listening on ")[2].split()[0]
            yield ExampleReceiver(name, f"http://{address}/hook", log)
        finally:
            process.kill()
