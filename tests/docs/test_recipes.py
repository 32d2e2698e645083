"""docs/recipes.md: shops, cron and GitHub Actions; on a system and with files like those that it speaks of."""

import csv
import io
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from imagebatch_api import tokens
from imagebatch_cli.data_folder import free_ports
from imagebatch_testing import needed
from imagebatch_testing.chart import load
from imagebatch_testing.cluster import prerequisites
from imagebatch_testing.local import Up
from imagebatch_testing.recipes import (
    PAGE,
    PROGRAMS,
    ROOT,
    TESTED,
    a_system,
    own_bucket,
    rows_of,
    shell,
    write_export,
)
from imagebatch_testing.servers import Servers


def test_every_block_is_tested() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_recipes*.py"))
    assert len(TESTED) == PAGE.count("```") // 2
    assert [name for name in TESTED if f'"{name}"' not in source] == []


@pytest.fixture
def bucket(servers: Servers) -> dict[str, str]:
    return own_bucket(servers)


# -- shops -----------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.anyio
async def test_doctor_finds_nothing_wrong_with_an_own_bucket(tmp_path: Path, bucket: dict[str, str]) -> None:
    *_, command = TESTED["own bucket"].splitlines()
    ended = await shell(command, tmp_path, **bucket)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert bucket["IMAGEBATCH_S3_ENDPOINT"] in ended.stdout


@pytest.mark.integration
@pytest.mark.anyio
@pytest.mark.parametrize(("shop", "column"), [("shopify", "Image Src"), ("woocommerce", "Images")])
async def test_a_shops_export_comes_back_with_links_to_the_bucket(
    tmp_path: Path, bucket: dict[str, str], shop: str, column: str
) -> None:
    assert {"shopify", "woocommerce"} <= TESTED.keys()
    (port,) = free_ports(1)
    write_export(shop, tmp_path / "products_export.csv", port)
    extra = {
        **bucket,
        "IMAGEBATCH_EXAMPLES_PORT": str(port),
        "IMAGEBATCH_ALLOWED_NETWORKS": f"127.0.0.1/32:{port}",
    }
    ended = await shell(TESTED[shop], tmp_path, **extra)
    assert ended.code == 0, ended.stderr
    before, after = rows_of(tmp_path / "products_export.csv"), rows_of(tmp_path / "products_import.csv")
    assert list(before[0]) == list(after[0])[: len(before[0])]
    links = [link.strip() for row in after for link in row[column].split(",") if link]
    assert len(links) == sum(len(row[column].split(",")) for row in before if row[column]) >= 10
    errors = tmp_path / "products_failed.csv"
    failed = {row["Input Image Urls"] for row in rows_of(errors)} if errors.exists() else set()
    kept = {link for link in links if not link.startswith(f"{bucket['IMAGEBATCH_S3_ENDPOINT']}/")}
    assert kept == failed
    assert len(failed) == (1 if shop == "woocommerce" else 0)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(links[0])
    assert answer.is_success
    assert answer.headers["content-type"] == ("image/webp" if shop == "woocommerce" else "image/jpeg")
    untouched = [{name: row[name] for name in row if name != column} for row in before]
    assert [{name: row[name] for name in before[0] if name != column} for row in after] == untouched


# -- programs that do it by themselves -------------------------------------------------------------------


@asynccontextmanager
async def a_server_with_tokens(folder: Path) -> AsyncIterator[tuple[Up, str, int]]:
    """A server that asks for a token, a token, and the port on which it serves the examples."""
    (port,) = free_ports(1)
    token = tokens.make()
    (folder / "tokens").write_text(str(tokens.entry_of("shop", token)))
    given = {"IMAGEBATCH_API_TOKENS_FILE": str(folder / "tokens"), "IMAGEBATCH_EXAMPLES_PORT": str(port)}
    async with a_system(folder, **given) as up:
        yield up, token, port


def on_this_machine(text: str, folder: Path, up: Up) -> str:
    """A block with the folders and the server of the test in place of those of the page."""
    for path in ("/srv/shop", "/etc/imagebatch", "/run/lock"):
        text = text.replace(path, f"{folder}{path}")
    return text.replace("https://imagebatch.example.com", f"http://127.0.0.1:{up.port}")


@pytest.mark.integration
@pytest.mark.anyio
@pytest.mark.skipif(shutil.which("flock") is None and not prerequisites.in_ci(), reason="there is no flock")
async def test_the_line_for_cron_does_a_nights_work(tmp_path: Path) -> None:
    async with a_server_with_tokens(tmp_path) as (up, token, port):
        for folder in ("usr/local/bin", "srv/shop", "etc/imagebatch", "run/lock"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "etc/imagebatch/token").write_text(f"{token}\n")
        export = (ROOT / "examples" / "products_spreadsheet.csv").read_bytes()
        (tmp_path / "srv/shop/export.csv").write_bytes(export.replace(b":8091/", f":{port}/".encode()))
        script = tmp_path / "usr/local/bin/nightly-images"
        script.write_text(on_this_machine(TESTED["nightly"], tmp_path, up))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

        *assignments, line = on_this_machine(TESTED["crontab"], tmp_path, up).splitlines()
        known = dict(assignment.split("=", 1) for assignment in assignments)
        assert known.keys() == {"PATH", "MAILTO", "IMAGEBATCH_SERVER"}
        minute, hour, *rest = line.split(None, 5)
        assert (int(minute), int(hour), rest[:3]) == (15, 2, ["*", "*", "*"])
        command = rest[3]
        assert "%" not in command  # cron takes it for the end of a line

        path = (
            f"{script.parent}:{PROGRAMS}:/usr/bin:/bin"  # cron's: the script, `imagebatch`, and the system's
        )
        ended = await shell(command, tmp_path, PATH=path, IMAGEBATCH_SERVER=known["IMAGEBATCH_SERVER"])
        assert ended.code == 0, ended.stderr
        assert len(rows_of_output(tmp_path / "srv/shop/import.csv")) == 12
        assert (tmp_path / "srv/shop/failed.csv").exists()

        (tmp_path / "srv/shop/import.csv").write_text("the catalogue of yesterday")
        missing = b"".join(b"%d,Shirt,http://127.0.0.1:%d/none-%d.jpg\r\n" % (n, port, n) for n in range(40))
        (tmp_path / "srv/shop/export.csv").write_bytes(
            b"Serial Number,Product Name,Input Image Urls\r\n" + missing
        )
        ended = await shell(command, tmp_path, PATH=path, IMAGEBATCH_SERVER=known["IMAGEBATCH_SERVER"])
        assert ended.code != 0
        assert (tmp_path / "srv/shop/import.csv").read_text() == "the catalogue of yesterday"


def rows_of_output(path: Path) -> list[list[str]]:
    text = path.read_bytes().decode("utf-8-sig")
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=";") if any(row)][1:]


@pytest.mark.integration
@pytest.mark.anyio
@pytest.mark.skipif(shutil.which("curl") is None and not prerequisites.in_ci(), reason="there is no curl")
async def test_the_steps_of_the_workflow_bring_the_output(tmp_path: Path) -> None:
    (document,) = load(TESTED["workflow"])
    (job,) = document["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert job["env"].keys() == {"SERVER", "TOKEN"}
    async with a_server_with_tokens(tmp_path) as (up, token, port):
        catalogue = (ROOT / "examples" / "products.csv").read_bytes().replace(b":8091/", f":{port}/".encode())
        (tmp_path / "catalogue.csv").write_bytes(catalogue)
        env = {"SERVER": f"http://127.0.0.1:{up.port}", "TOKEN": token, "GITHUB_SHA": "a" * 40}
        ids = set()
        for _ in range(2):  # the second time as when somebody runs the job again
            for step in steps:
                ended = await shell(step, tmp_path, program="bash", **env)
                assert ended.code == 0, ended.stderr
            (listed,) = (await up.http.get("/batches", headers={"Authorization": f"Bearer {token}"})).json()[
                "batches"
            ]
            ids.add(listed["request_id"])
        assert len(ids) == 1
        assert len(rows_of(tmp_path / "catalogue_output.csv")) == 28

        ended = await shell(steps[0], tmp_path, program="bash", **{**env, "TOKEN": "ib_wrong"})
        assert ended.code == 1
        assert "unknown_token" in ended.stdout


@pytest.mark.cluster
def test_actionlint_finds_nothing_in_the_workflow() -> None:
    command = [str(needed.program("actionlint")), "-shellcheck=", "-pyflakes=", "-no-color", "-oneline", "-"]
    ended = subprocess.run(command, input=TESTED["workflow"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
