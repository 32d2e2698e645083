"""Programs that do not outlive the tests that started them."""

import shutil
from collections.abc import Sequence


def tied(command: Sequence[str]) -> list[str]:
    """The command so that the kernel kills it when this process ends, where it can do that (Linux)."""
    return [*(["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []), *command]
