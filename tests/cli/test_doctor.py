"""What `imagebatch doctor` finds, on a fresh folder, beside a system that runs, and where things are wrong."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from imagebatch import settings
from imagebatch_cli import diagnosis
from imagebatch_testing.local import Ended, imagebatch
from imagebatch_testing.servers import Servers
from imagebatch_testing.shop_and_system import Running
from imagebatch_testing.web import Page, serving

pytestmark = pytest.mark.anyio


def findings(done: Ended) -> dict[str, dict[str, object]]:
    return {found["name"]: found for found in json.loads(done.stdout)["findings"]}


@pytest.mark.integration
async def test_on_a_fresh_machine_everything_is_tried(tmp_path: Path) -> None:
    done = await imagebatch("doctor", "--data", tmp_path / "data")
    assert done.code == 0, done.stdout
    lines = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert lines == [["OK", name] for name in ("python", "codec", "disk", "postgres", "s3", "clock")]
    assert "started for this: PostgreSQL" in done.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.integration
async def test_beside_a_system_that_runs_its_own_services_are_asked(system: Running) -> None:
    done = await imagebatch("doctor", "--data", system.data, "--json")
    found = findings(done)
    assert done.code == 0, done.stdout
    assert all(str(found[name]["message"]).startswith("embedded, running") for name in ("postgres", "s3"))


@pytest.mark.integration
async def test_what_is_wrong_is_told_with_what_to_do(
    tmp_path: Path, servers: Servers, unused_port: int
) -> None:
    own = settings.as_env(servers.s3) | {
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{unused_port}/none",
        "IMAGEBATCH_S3_ACCESS_KEY": "stranger",
    }
    hook = f"http://127.0.0.1:{unused_port}/hook"
    done = await imagebatch("doctor", "--data", tmp_path, "--webhook-url", hook, "--json", **own)
    found = findings(done)
    assert done.code == 1
    assert {name for name, each in found.items() if not each["ok"]} == {"postgres", "s3", "webhook"}
    assert all(each["advice"] for each in found.values() if not each["ok"])
    assert found["clock"]["ok"]
    assert "IMAGEBATCH_ALLOWED_NETWORKS" in str(found["webhook"]["message"])


@pytest.mark.integration
async def test_your_own_services_and_a_receiver_that_answers_are_fine(
    tmp_path: Path, servers: Servers
) -> None:
    own = settings.as_env(servers.s3) | settings.as_env(servers.database)
    async with serving({"/hook": Page(status=405)}) as web:
        opened = {"IMAGEBATCH_ALLOWED_NETWORKS": web.host.replace(":", "/32:")}
        done = await imagebatch(
            "doctor", "--data", tmp_path, "--webhook-url", web.url("/hook"), "--json", **own, **opened
        )
        assert web.requests["/hook"] == 1
    assert done.code == 0, done.stdout
    assert "HTTP 405" in str(findings(done)["webhook"]["message"])


@pytest.mark.parametrize(
    ("skew_s", "ok", "words"),
    [
        (0.4, True, "within 1 s"),
        (-299.0, True, "within 299 s"),
        (301.0, False, "ahead of"),
        (-301.0, False, "behind"),
    ],
)
def test_a_clock_may_be_wrong_by_five_minutes(skew_s: float, ok: bool, words: str) -> None:
    finding = diagnosis._judged(skew_s)
    assert (finding.ok, words in finding.message) == (ok, True)


def test_an_old_python_and_a_full_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "3.11" in diagnosis._python((3, 10)).advice
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - what shutil gives
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    finding = diagnosis._disk(tmp_path / "not" / "there")
    assert (finding.ok, str(tmp_path) in finding.message, "IMAGEBATCH_DATA" in finding.advice) == (
        False,
        True,
        True,
    )
