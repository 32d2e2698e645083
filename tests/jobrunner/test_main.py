"""The program as a supervisor sees it: environment in, exit code out."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagebatch.batch.exit_codes import Exit
from imagebatch.errors import SettingsError, StoreError
from imagebatch.options import Compression
from imagebatch.settings import read, variable
from imagebatch_jobrunner import main
from imagebatch_jobrunner.errors import CodecStartError, PoisonShardError
from imagebatch_jobrunner.settings import JobrunnerSettings
from imagebatch_testing.web import Page, Web, serving

pytestmark = pytest.mark.anyio

NEEDED = {"IMAGEBATCH_S3_BUCKET": "shop", "IMAGEBATCH_REQUEST_ID": "r1", "JOB_COMPLETION_INDEX": "0"}
REPORT = "/shop/batches/r1/a1/00000.json"


@dataclass(frozen=True)
class Ended:
    code: int
    events: list[dict[str, object]]


async def started(
    environment: Mapping[str, str], stdin: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "imagebatch_jobrunner",
        env={"PATH": os.environ["PATH"], **environment},
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Ended:
    assert process.stderr is not None
    log = await process.stderr.read()
    return Ended(await process.wait(), [json.loads(line) for line in log.splitlines()])


def with_s3(web: Web, **more: str) -> dict[str, str]:
    return {
        **NEEDED,
        "IMAGEBATCH_S3_ENDPOINT": f"http://{web.host}",
        "IMAGEBATCH_S3_ADDRESSING": "path",
        "IMAGEBATCH_S3_ACCESS_KEY": "key",
        "IMAGEBATCH_S3_SECRET_KEY": "swordfish",
        **more,
    }


def s3_error(status: int, code: str) -> Page:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
    return Page(body.encode(), status, {"Content-Type": "application/xml"})


def gone() -> Page:
    return Page(status=404, headers={"Content-Type": "application/xml"})


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving() as server:
        yield server


async def test_missing_settings_are_a_defect_and_named() -> None:
    result = await ended(await started({"IMAGEBATCH_S3_BUCKET": "shop"}))
    assert result.code == Exit.DEFECT
    reason = str(result.events[-1]["reason"])
    assert "IMAGEBATCH_REQUEST_ID is not set" in reason
    assert "JOB_COMPLETION_INDEX is not set" in reason


async def test_nothing_is_loaded_that_only_terminals_need() -> None:
    process = await started({"PYTHONPROFILEIMPORTTIME": "1"})
    assert process.stderr is not None
    lines = (await process.stderr.read()).decode().splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert await process.wait() == Exit.DEFECT
    assert {"httpx", "structlog"} <= loaded
    assert not [
        name for name in loaded if name.startswith(("click.", "pygments", "rich."))
    ]  # rich was asked for


async def test_a_shard_with_a_report_is_done_at_once(web: Web) -> None:
    web.routes[REPORT] = Page(headers={"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"})
    result = await ended(await started(with_s3(web)))
    assert result.code == Exit.DONE
    assert (result.events[-1]["request_id"], result.events[-1]["shard"]) == ("r1", 0)


async def test_a_shard_without_plan_is_poison(web: Web, tmp_path: Path) -> None:
    web.routes[REPORT] = gone()
    web.routes["/shop/batches/r1/plan.json"] = s3_error(404, "NoSuchKey")
    log = tmp_path / "termination-log"
    log.touch()
    result = await ended(await started(with_s3(web, IMAGEBATCH_TERMINATION_LOG=str(log))))
    assert result.code == Exit.POISON_SHARD
    assert log.read_text().count("\n") == 1
    assert "gone" in log.read_text()


async def test_denied_s3_is_temporary(web: Web) -> None:
    web.routes[REPORT] = gone()
    web.routes["/shop/batches/r1/plan.json"] = s3_error(403, "AccessDenied")
    result = await ended(await started(with_s3(web)))
    assert result.code == Exit.TEMPORARY
    assert "swordfish" not in str(result.events)


@pytest.fixture
def asked(web: Web) -> asyncio.Event:
    """Is set when the jobrunner waits for S3, which then never answers."""
    event = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        event.set()
        await reader.read()

    web.routes[REPORT] = silent
    return event


async def test_sigterm_ends_it_with_143(web: Web, asked: asyncio.Event) -> None:
    process = await started(with_s3(web))
    await asked.wait()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert (await ended(process)).code == Exit.TERMINATED


async def test_the_end_of_standard_input_ends_it_when_asked_for(web: Web, asked: asyncio.Event) -> None:
    process = await started(with_s3(web, IMAGEBATCH_STOP_ON_STDIN_EOF="true"), stdin=asyncio.subprocess.PIPE)
    await asked.wait()
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(10):
        assert (await ended(process)).code == Exit.TERMINATED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("S3 is down"), Exit.TEMPORARY),
        (ExceptionGroup("", [ExceptionGroup("", [StoreError("S3 is down")])]), Exit.TEMPORARY),
        (ExceptionGroup("", [StoreError("S3 is down"), PoisonShardError("changed")]), Exit.POISON_SHARD),
        (CodecStartError("killed"), Exit.SYSTEM),
        (MemoryError(), Exit.SYSTEM),
        (OSError(28, "No space left on device"), Exit.SYSTEM),
        (ZeroDivisionError("ours"), Exit.DEFECT),
    ],
    ids=["store", "nested", "poison", "codec", "memory", "disk", "bug"],
)
def test_what_went_wrong_decides_the_exit_code(
    error: Exception, code: Exit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    settings = read(JobrunnerSettings, termination_log=str(tmp_path / "none"))
    assert main._failed(settings, error) == code


def test_settings_have_names_defaults_and_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IMAGEBATCH_COMPRESSION", '{"quality": "70", "maxWidth": 900}')
    settings = read(JobrunnerSettings)
    assert settings.compression == Compression(quality="70", max_width=900)
    assert (settings.shard_id.request_id, settings.shard_id.attempt, settings.shard_id.index) == ("r1", 1, 0)
    assert settings.run != read(JobrunnerSettings).run
    assert all(field.description for field in JobrunnerSettings.model_fields.values())
    assert variable(JobrunnerSettings, "completion_index") == "JOB_COMPLETION_INDEX"


@pytest.mark.parametrize("text", ["[]", "no json", '{"qualty": "5"}', '{"quality": "0"}'])
def test_compression_that_is_not_usable_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NEEDED, "IMAGEBATCH_COMPRESSION": text}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="IMAGEBATCH_COMPRESSION"):
        read(JobrunnerSettings)
