"""Where an object's CSV may come from, and what becomes of a batch whose CSV does not come."""

import asyncio
import base64
from contextlib import suppress
from typing import Any

import httpx
import pytest

from imagebatch.batch.background import DOWNLOADS_AT_ONCE
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, ObjectStore
from imagebatch_testing.operated import DATA, Make, condition
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import (
    NAMESPACE,
    OperatorProcess,
    new_name,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.integration,
    pytest.mark.timeout(120, func_only=True),
    pytest.mark.usefixtures("operator"),
]


@pytest.mark.parametrize("kind", ["text", "binary"])
async def test_a_config_map_is_waited_for(make: Make, kind: str) -> None:
    name = new_name("products")
    source = {"source": {"configMap": {"name": name, "key": "products.csv"}}}
    batch = await make("early", {**source, "sharding": {"rowsPerShard": 1}})
    status = await batch.objects.until_waits(batch.name, "SourceNotReady")
    assert f"no ConfigMap {name}" in condition(status, "Progressing")["message"]
    assert status["phase"] == "Planning"
    content = {"data": {"products.csv": DATA.decode()}}
    if kind == "binary":
        content = {"binaryData": {"products.csv": base64.b64encode(DATA).decode()}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **content}
    await batch.objects.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", json=body)
    await batch.finish()
    assert (await batch.until_events("Complete")).count("SourceNotReady") == 1


async def test_a_config_map_without_the_key_is_waited_for(make: Make) -> None:
    name = new_name("products")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"other": "1"}}
    batch = await make("keyless", {"source": {"configMap": {"name": name, "key": "products.csv"}}})
    await batch.objects.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", json=body)

    def says_so(status: dict[str, Any]) -> bool:
        return "no key products.csv" in str(condition(status, "Progressing").get("message"))

    await batch.objects.until_status(batch.name, says_so)


async def test_a_file_on_s3_is_read(make: Make, bucket: ObjectStore) -> None:
    key = f"{keys.imports_prefix(NAMESPACE)}{new_name('products')}.csv"
    bucket.put(key, DATA, CSV)
    batch = await make("imported", {"source": {"s3": {"key": key}}, "sharding": {"rowsPerShard": 1}})
    await batch.finish()


async def test_a_shops_export_is_read_by_its_preset(make: Make, bucket: ObjectStore) -> None:
    text = "Handle,Title,Image Src,Price\na,A,http://shop.example/1.jpg,1\na,,http://shop.example/2.jpg,\n"
    source = {"inline": text, "preset": "shopify", "inPlace": True}
    batch = await make("export", {"source": source, "sharding": {"rowsPerShard": 1}})
    await batch.finish()
    (header, first, _) = bucket.get(keys.output(batch.uid)).decode().splitlines()
    assert header == "Handle,Title,Image Src,Price,Output Image Urls"
    handle, title, link, price, new = first.split(",")
    assert (handle, title, price) == ("a", "A", "1")
    assert link == new
    assert new.endswith("/0000001-001.jpg")


async def test_columns_are_named_in_the_object(make: Make) -> None:
    columns = {"name": "Title", "links": ["Photo", "More"]}
    text = "Title,Photo,More\nA,http://shop.example/1.jpg,\nB,,http://shop.example/2.jpg\n"
    batch = await make(
        "mapped", {"source": {"inline": text, "columns": columns}, "sharding": {"rowsPerShard": 1}}
    )
    await batch.finish()


async def test_a_file_behind_a_url_is_read(make: Make) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(DATA) + DATA)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        source = {"source": {"url": f"http://127.0.0.1:{port}/products.csv"}}
        batch = await make("downloaded", {**source, "sharding": {"rowsPerShard": 1}})
        await batch.finish()


async def test_sources_that_drip_hold_up_nobody(operator: OperatorProcess, make: Make) -> None:
    """More of them than may be read at once: others begin, and a cancel and a delete act at once."""

    is_over = asyncio.Event()
    serving: set[asyncio.Task[None] | None] = set()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not is_over.is_set():
                writer.write(b"S")
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_over.wait(), 1)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        source = {"source": {"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/products.csv"}}
        dripping = [await make("drip", source) for _ in range(DOWNLOADS_AT_ONCE + 2)]

        async def one_is_queued() -> bool:
            statuses = [await each.objects.status(each.name) for each in dripping]
            return any(status.get("reason") == "Queued" for status in statuses)

        await until(one_is_queued)
        quick = await make("quick")
        await quick.finish()
        await dripping[0].objects.change(dripping[0].name, cancel=True)
        await dripping[0].until_phase("Cancelled")
        await dripping[1].objects.delete(dripping[1].name)
        await until(lambda: dripping[1].objects.is_gone(dripping[1].name))
        async with httpx.AsyncClient(base_url=operator.url, trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
        for each in dripping[2:]:
            await each.objects.change(each.name, cancel=True)
        for each in dripping[2:]:
            await each.until_phase("Cancelled")
        is_over.set()
        await asyncio.gather(*(task for task in serving if task is not None))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"inline": "Serial Number,Product Name\n1,Shoe\n"}, "Input Image Urls"),
        ({"inline": "sku,photo\n1,http://a.test/1.jpg\n"}, "spec.source.columns"),
        ({"s3": {"key": "imports/another/products.csv"}}, f"imports/{NAMESPACE}/"),
        ({"s3": {"key": f"imports/{NAMESPACE}/no-such.csv"}}, "no object"),
        ({"url": "http://169.254.169.254/latest.csv"}, "169.254.169.254"),
    ],
    ids=["no links", "other columns", "another's", "not there", "forbidden"],
)
async def test_an_unusable_source_fails_the_batch(make: Make, source: dict[str, Any], says: str) -> None:
    batch = await make("unusable", {"source": source})
    status = await batch.until_phase("Failed")
    assert says in status["error"]
    assert status["reason"] == "SourceNotUsable"
    assert condition(status, "Failed")["reason"] == "SourceNotUsable"
    await batch.until_events("Failed")
