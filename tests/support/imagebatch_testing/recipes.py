"""The blocks of docs/recipes.md that are tested, and what they need to work: a system, files, a bucket."""

import asyncio
import csv
import io
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from imagebatch import settings
from imagebatch_testing.local import Ended, Up, environment
from imagebatch_testing.servers import Servers

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "recipes.md").read_text()
TESTED = dict(re.findall(r"<!-- tested: (.+?) -->\n```\w*\n(.+?)\n```", PAGE, re.DOTALL))
PROGRAMS = Path(sys.executable).parent
DEADLINE_S = 120


async def shell(script: str, folder: Path, *, program: str = "sh", **extra: str) -> Ended:
    """Run a script in a folder, as a person would who has `imagebatch` on the PATH."""
    env = {**environment({}), "PATH": f"{PROGRAMS}:{os.environ['PATH']}", **extra}
    process = await asyncio.create_subprocess_exec(
        program, "-e", "-c", script, cwd=folder, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def exports(name: str, **given: str) -> dict[str, str]:
    """The variables of a block that exports some; values of the page unless they are given."""
    found = dict(re.findall(r"^export (\w+)=(\S+)$", TESTED[name], re.MULTILINE))
    assert found.keys() >= given.keys()
    return {**found, **given}


def own_bucket(servers: Servers) -> dict[str, str]:
    """The variables of "own bucket", with those of the tests' S3 as the reader has those of his."""
    known = settings.as_env(servers.s3)
    shown = exports("own bucket")
    return {**{name: known[name] for name in shown}, "IMAGEBATCH_S3_ADDRESSING": "path"}


@asynccontextmanager
async def a_system(folder: Path, **extra: str) -> AsyncIterator[Up]:
    """One that serves the examples on the port that `catalogue` links to."""
    (folder / "system").mkdir()
    async with Up(folder / "system" / "data", **extra) as up:
        yield up


def write_export(shop: str, path: Path, port: int, rows: int = 12) -> None:
    """The beginning of a shop's export, with links to the examples on a port."""
    text = (ROOT / "examples" / "catalogues" / f"{shop}.csv").read_bytes().decode("utf-8")
    table = list(csv.reader(io.StringIO(text, newline="")))[:rows]
    out = io.StringIO(newline="")
    csv.writer(out).writerows(table)
    path.write_bytes(out.getvalue().replace(":8091/", f":{port}/").encode())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
