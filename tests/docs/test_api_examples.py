"""The requests that docs/api.md shows for batches that were taken in: each is made, and answered as it says."""

import asyncio
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagebatch_cli.data_folder import free_ports
from imagebatch_testing.local import Up

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ID = "0a2ef0d5-35ca-4f3c-8b53-8b6ad43b4b1c"

Fits = Callable[[Any], bool]


def refused_with(code: str) -> Fits:
    return lambda found: found["errors"][0]["code"] == code


ANSWERS: dict[str, Fits] = {
    "/upload?dry_run=true": lambda found: found["rows"] == 28 and found["images"] == 69,
    "/batches?limit=50&status=failed": lambda found: found == {"batches": [], "next_after": None},
    f"/batches/{ID}/suspend": refused_with("already_finished"),
    f"/batches/{ID}/resume": refused_with("already_finished"),
    f"/batches/{ID}/cancel": refused_with("already_finished"),
    f"/batches/{ID}/events": lambda found: found["status"] == "complete",
    f"/batches/{ID}/images?outcome=failed&limit=500": lambda found: (
        {image["error_code"] for image in found["images"]} >= {"http_status", "not_an_image"}
    ),
    f"/batches/{ID}/webhooks": lambda found: found == {"deliveries": []},
    f"/batches/{ID}/webhooks/redeliver": refused_with("no_webhook"),
    "/webhooks/test": lambda found: not found["delivered"] and found["error"],
    f"/batches/{ID}/retry": lambda found: found["status"] == "pending",
    f"/batches/{ID}": lambda found: found is None,
}
"""By what is asked for, in the order in which it is asked: the batch is at its end, and is deleted at the end."""


def examples() -> dict[str, list[str]]:
    """The commands of the page that ask for one of `ANSWERS`, by it."""
    lines = [line for block in re.findall(r"```sh\n(.+?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("curl ") and line[-1] != "\\"]
    found = {words[-1].removeprefix("http://127.0.0.1:8080"): words for words in commands}
    return {path: words for path, words in found.items() if path in ANSWERS}


@pytest.mark.anyio
@pytest.mark.integration
@pytest.mark.timeout(180, func_only=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_the_requests_for_batches_that_the_docs_show_work(tmp_path: Path) -> None:
    shown = examples()
    assert shown.keys() == ANSWERS.keys()
    (port,) = free_ports(1)
    content = (ROOT / "examples" / "products.csv").read_bytes().replace(b":8091/", f":{port}/".encode())
    async with Up(tmp_path / "data", IMAGEBATCH_EXAMPLES_PORT=str(port)) as up:
        request_id = (await up.upload(content))["request_id"]
        await up.until_done(request_id)
        for path, fits in ANSWERS.items():
            if path == f"/batches/{ID}":
                await up.until_done(request_id)  # what it retries
            words = [word.replace(ID, request_id).replace(":8080/", f":{up.port}/") for word in shown[path]]
            found = await answer_of([word.replace("@products", "@examples/products") for word in words])
            assert fits(found), (path, found)


async def answer_of(words: list[str]) -> Any:
    """The JSON that curl prints, or that of the last event; None for nothing."""
    process = await asyncio.create_subprocess_exec(*words, "-sS", cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    text = stdout.decode()
    events = re.findall(r"^data: (.+)$", text, re.MULTILINE)
    return json.loads(events[-1] if events else text) if text else None
