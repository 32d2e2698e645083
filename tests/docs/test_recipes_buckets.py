"""docs/recipes.md: Argo CD, private buckets and caches in front of them."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import free_ports
from imagebatch_testing import needed
from imagebatch_testing.chart import Helm, Json, load
from imagebatch_testing.recipes import ROOT, TESTED, a_system, exports, own_bucket, write_export
from imagebatch_testing.servers import Servers
from imagebatch_testing.waiting import until


@pytest.fixture
def bucket(servers: Servers) -> dict[str, str]:
    return own_bucket(servers)


# -- Kubernetes ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(needed.program("helm"))


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
    program = needed.packaged("nginx", "nginx-light")
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
    needed.packaged("nginx", "nginx-light")
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
