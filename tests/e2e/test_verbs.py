"""What can be done to a batch over the API, on `imagebatch up` with real shards."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagebatch.storage import keys
from imagebatch_testing.local import Up, csv_of
from imagebatch_testing.shop import Shop, open_shop
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(180, func_only=True)]


def a_catalogue(shop: Shop) -> bytes:
    """Two images at once, one that is not there, and two behind the gate; a shard each."""
    paths = ("/p/1.jpg", "/p/2.jpg", "/none.txt", "/gated/3.jpg", "/gated/4.jpg")
    return csv_of([[shop.url(path)] for path in paths])


async def asked(up: Up, method: str, path: str, status: int = 200, **given: Any) -> dict[str, Any]:
    answer = await up.http.request(method, path, **given)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found


async def until_status(up: Up, request_id: str, **wanted: Any) -> None:
    async def is_so() -> bool:
        found = await up.status(request_id)
        return all(found[name] == value for name, value in wanted.items())

    await until(is_so, 60)


async def test_a_batch_is_suspended_cancelled_tried_again_and_deleted(tmp_path: Path) -> None:
    with open_shop("127.0.0.1") as shop:
        opened = f"127.0.0.1/32:{shop.port}"
        async with Up(tmp_path / "data", IMAGEBATCH_ALLOWED_NETWORKS=opened) as up:
            accepted = await up.upload(
                a_catalogue(shop), rowsPerShard="1", parallelism="5", webhook_url=shop.url("/hook")
            )
            batch = f"/batches/{accepted['request_id']}"
            request_id = accepted["request_id"]
            await up.until_done(request_id, images=3)

            assert (await asked(up, "POST", f"{batch}/suspend"))["reason"] == "Suspended"
            await until_status(up, request_id, reason="Suspended")
            await asked(up, "POST", f"{batch}/resume")
            await until_status(up, request_id, reason=None)

            await asked(up, "POST", f"{batch}/cancel")
            await until_status(up, request_id, phase="Cancelled")
            status = await up.status(request_id)
            assert status["images"] == {"total": 5, "succeeded": 2, "failed": 1, "skipped": 2}
            skipped = await asked(up, "GET", f"{batch}/images", params={"outcome": "skipped"})
            assert [image["row"] for image in skipped["images"]] == [4, 5]

            before = dict(shop.requests)
            shop.files["/none.txt"] = shop.pictures[0]
            shop.gate.set()
            assert (await asked(up, "POST", f"{batch}/retry"))["status"] == "pending"
            status = await up.until_done(request_id)
            assert status["images"] == {"total": 5, "succeeded": 5, "failed": 0, "skipped": 0}
            for kept in ("/p/1.jpg", "/p/2.jpg"):
                assert shop.requests[kept] == before[kept], "what succeeded is not fetched again"
            found = await asked(up, "GET", f"{batch}/images", params={"limit": 2})
            assert [image["row"] for image in found["images"]] == [1, 2]
            assert all(image["output_url"] for image in found["images"])

            await until(lambda: len(shop.hooks.get("/hook", [])) == 2, 60)
            await asked(up, "POST", f"{batch}/webhooks/redeliver")
            await until(lambda: len(shop.hooks["/hook"]) == 3)
            _, second, third = shop.hooks["/hook"]
            assert second.headers["webhook-id"] == third.headers["webhook-id"]
            tried = await asked(up, "POST", "/webhooks/test", json={"url": shop.url("/test")})
            assert tried["delivered"]

            image = found["images"][0]["output_url"]
            async with httpx.AsyncClient(trust_env=False) as anybody:
                assert (await anybody.get(image)).status_code == 200
                assert (await up.http.delete(batch)).status_code == 204
                await asked(up, "GET", batch, 404)
                for link in (image, status["output_csv"]):
                    await until(lambda link=link: is_gone(anybody, link))  # type: ignore[misc]
            assert keys.image_prefix(request_id) in image
            await until(lambda: not up.input_of(request_id))


async def is_gone(client: httpx.AsyncClient, link: str) -> bool:
    return (await client.get(link)).status_code in {403, 404}


async def test_a_stream_holds_up_no_end_and_a_deletion_goes_on_after_a_restart(tmp_path: Path) -> None:
    with open_shop("127.0.0.1") as shop:
        opened = f"127.0.0.1/32:{shop.port}"
        async with Up(tmp_path / "data", IMAGEBATCH_ALLOWED_NETWORKS=opened) as up:
            waiting = await up.upload(csv_of([[shop.url("/gated/1.jpg")]]))
            ended = await up.upload(csv_of([[shop.url("/p/1.jpg")]]))
            await up.until_done(ended["request_id"])
            async with up.http.stream("GET", f"/batches/{waiting['request_id']}/events") as answer:
                lines = answer.aiter_lines()
                while not (line := await anext(lines)).startswith("data: "):
                    continue
                assert json.loads(line.removeprefix("data: "))["status"] == "pending"
                await asked(up, "DELETE", f"/batches/{ended['request_id']}", 204)
                async with asyncio.timeout(30):
                    await up.stop()
            await up.start()
            await until(lambda: not up.input_of(ended["request_id"]), 60)
            await asked(up, "GET", f"/batches/{ended['request_id']}", 404)
            shop.gate.set()
            assert (await up.until_done(waiting["request_id"]))["status"] == "complete"
