"""docs/recipes.md: each block works, on a system and with files like those that it speaks of."""

import asyncio
import csv
import io
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from imagebatch import settings
from imagebatch.storage.s3 import S3Store
from imagebatch_api import tokens
from imagebatch_cli.data_folder import free_ports
from imagebatch_testing.chart import Helm, Json, load
from imagebatch_testing.cluster import prerequisites, programs
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.local import Ended, Up, environment
from imagebatch_testing.servers import Servers
from imagebatch_testing.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text()
TESTED = dict(re.findall(r"<!-- tested: (.+?) -->\n```\w*\n(.+?)\n```", PAGE, re.DOTALL))
PROGRAMS = Path(sys.executable).parent
DEADLINE_S = 120


def test_every_block_is_tested() -> None:
    source = Path(__file__).read_text()
    assert len(TESTED) == PAGE.count("```") // 2
    assert [name for name in TESTED if f'"{name}"' not in source] == []


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


@pytest.fixture
def bucket(servers: Servers) -> dict[str, str]:
    return own_bucket(servers)


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
    command = [str(program_of("actionlint")), "-shellcheck=", "-pyflakes=", "-no-color", "-oneline", "-"]
    ended = subprocess.run(command, input=TESTED["workflow"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def program_of(name: str) -> Path:
    """One that Go builds; without it the test is skipped, in CI it fails."""
    try:
        return programs.found(name)
    except UnavailableError as error:
        give_up = pytest.fail if prerequisites.in_ci() else pytest.skip
        give_up(str(error))


# -- Kubernetes ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(program_of("helm"))


@pytest.mark.cluster
def test_the_application_of_argo_cd_renders(helm: Helm) -> None:
    (application,) = load(TESTED["argo cd"])
    assert (application["apiVersion"], application["kind"]) == ("argoproj.io/v1alpha1", "Application")
    source = application["spec"]["source"]
    (chart,) = load((ROOT / source["path"] / "Chart.yaml").read_text())
    assert source["targetRevision"] == f"v{chart['version']}"
    made = helm.render(
        values=flat(source["helm"]["valuesObject"]), namespace=application["spec"]["destination"]["namespace"]
    )
    assert {found["metadata"]["name"] for found in made.all("Deployment")} == {
        "imagebatch-api",
        "imagebatch-operator",
    }
    assert "registry.example/imagebatch-api:" in made.text
    assert not made.all("Secret")
    needed = set(re.findall(r"secretKeyRef:\n\s+name: \"?([\w-]+)", made.text)) | set(
        re.findall(r"secretName: \"?([\w-]+)", made.text)
    )
    guide = (ROOT / "docs" / "kubernetes.md").read_text()
    assert needed >= {"imagebatch-database", "imagebatch-s3", "imagebatch-tokens"}
    assert [name for name in needed if f"create secret generic {name} " not in guide] == []


def flat(values: Json, prefix: str = "") -> Json:
    """Values by their dotted paths."""
    found: Json = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


@pytest.mark.cluster
@pytest.mark.parametrize("name", ["private", "cdn"])
def test_the_charts_values_say_the_same_as_the_variables(helm: Helm, name: str) -> None:
    assert {"private values", "cdn values"} <= TESTED.keys()
    (values,) = load(TESTED[f"{name} values"])
    needed = {"database.existingSecret": "d", "s3.existingSecret": "s", "api.allowAnonymous": True}
    made = helm.render(values=needed | flat(values))
    for variable, value in exports(name).items():
        for component in ("api", "operator"):
            env = container_of(made.one("Deployment", f"imagebatch-{component}"))["env"]
            assert {"name": variable, "value": value} in env


def container_of(deployment: Json) -> Json:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: Json = container
    return found


# -- buckets ---------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.anyio
async def test_a_private_bucket_answers_to_signed_links_alone(
    tmp_path: Path, servers: Servers, bucket: dict[str, str]
) -> None:
    (port,) = free_ports(1)
    write_export("shopify", tmp_path / "products_export.csv", port, rows=4)
    store = S3Store(servers.s3)
    store._client.delete_bucket_policy(servers.s3.s3_bucket)
    try:
        async with a_system(
            tmp_path, **bucket, **exports("private"),
            IMAGEBATCH_EXAMPLES_PORT=str(port), IMAGEBATCH_ALLOWED_NETWORKS=f"127.0.0.1/32:{port}",
        ) as up:  # fmt: skip
            accepted = await up.upload((tmp_path / "products_export.csv").read_bytes(), preset="shopify")
            status = await up.until_done(accepted["request_id"])
        async with httpx.AsyncClient(trust_env=False) as client:
            output = await client.get(status["output_csv"])
            output.raise_for_status()
            table = list(csv.DictReader(io.StringIO(output.content.decode("utf-8-sig"), newline="")))
            for link in (status["output_csv"], table[0]["Output Image Urls"]):
                assert "X-Amz-Expires=86400" in link
                assert (await client.get(link)).status_code == 200
                assert (await client.get(link.partition("?")[0])).status_code == 403
    finally:
        store.create_bucket()
        store.close()


@asynccontextmanager
async def nginx(folder: Path, servers: Servers) -> AsyncIterator[str]:
    """The nginx of the page before the tests' bucket; its URL."""
    (port,) = free_ports(1)
    program = prerequisites.program("nginx", "nginx-light")
    endpoint, name = servers.s3.s3_endpoint, servers.s3.s3_bucket
    block = TESTED["nginx"]
    for shown, here in {
        "http://s3.internal:9000/shop-images": f"{endpoint}/{name}",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "/var/cache/nginx/images": f"{folder}/cache",
    }.items():
        assert shown in block
        block = block.replace(shown, here)
    kept = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; user root; pid {folder}/pid; events {{}} http {{ access_log off; {kept} {block} }}"
    )
    words = (str(program), "-c", str(file), "-e", str(folder / "error.log"))
    process = await asyncio.create_subprocess_exec(*words)
    try:
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{port}") as client:
            await until(lambda: answers(client))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        await client.get("/")
    except httpx.HTTPError:
        return False
    return True


@pytest.mark.integration
@pytest.mark.anyio
async def test_links_lead_to_the_cache_in_front_which_asks_the_bucket_once(
    tmp_path: Path, servers: Servers, bucket: dict[str, str]
) -> None:
    try:
        prerequisites.program("nginx", "nginx-light")
    except UnavailableError as error:
        give_up = pytest.fail if prerequisites.in_ci() else pytest.skip
        give_up(str(error))
    (port,) = free_ports(1)
    write_export("shopify", tmp_path / "products_export.csv", port, rows=4)
    async with nginx(tmp_path, servers) as url, a_system(
        tmp_path, **bucket, **exports("cdn", IMAGEBATCH_S3_PUBLIC_URL=url),
        IMAGEBATCH_EXAMPLES_PORT=str(port), IMAGEBATCH_ALLOWED_NETWORKS=f"127.0.0.1/32:{port}",
    ) as up:  # fmt: skip
        accepted = await up.upload((tmp_path / "products_export.csv").read_bytes(), preset="shopify")
        status = await up.until_done(accepted["request_id"])
        assert status["output_csv"].startswith(f"{url}/csvfile/")
        async with httpx.AsyncClient(trust_env=False) as client:
            output = await client.get(status["output_csv"])
            assert "X-Cache-Status" not in output.headers
            table = list(csv.DictReader(io.StringIO(output.content.decode("utf-8-sig"), newline="")))
            image = table[0]["Output Image Urls"]
            assert image.startswith(f"{url}/images/")
            first, second = [await client.get(image) for _ in range(2)]
            assert [each.headers["X-Cache-Status"] for each in (first, second)] == ["MISS", "HIT"]
            assert first.content == second.content
            assert "immutable" in second.headers["Cache-Control"]
            assert (await client.put(image, content=b"x")).status_code == 403
            private = f"{url}/csvfile/{accepted['request_id']}_report.csv"
            assert (await client.get(private)).status_code == 403
            assert (await client.get(f"{url}/batches/ready")).status_code == 404
