"""Runs `kubectl-imagebatch` for tests."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from imagebatch_testing.local import Ended
from imagebatch_testing.without_nodes import NAMESPACE

PROGRAM = Path(sys.executable).with_name("kubectl-imagebatch")

Kubectl = Callable[..., Coroutine[Any, Any, Ended]]


def runner(environment: Mapping[str, str], folder: Path, namespace: str = NAMESPACE) -> Kubectl:
    """Runs the command to its end, in a folder and for a namespace."""

    async def run(*words: object) -> Ended:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, *map(str, words), "-n", namespace, cwd=folder, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, stdout.decode(), stderr.decode())

    return run
