"""The main job by the command line, on the examples, as `make run` does it."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from imagebatch import links
from imagebatch.csv import rows
from imagebatch.storage import keys
from imagebatch_cli.data_folder import free_ports
from imagebatch_testing.local import Up, csv_of, imagebatch, picture
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Page, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXPECTED_FAILURES = {
    "/shirts/riverside-navy-detail.jpg": "http_status",
    "/broken/truncated.jpg": "truncated",
    "/broken/login.jpg": "not_an_image",
    "/broken/not-an-image.html": "not_an_image",
    "http://closed-shop.invalid/shirt.jpg": "dns_failed",
    "htp:/oops": "invalid_url",
}


@dataclass(frozen=True)
class Done:
    """What `imagebatch run` left."""

    source: str
    status: dict[str, Any]
    table: list[dict[str, str]]
    errors: list[dict[str, str]]
    images: Path
    base: str


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    delimiter = ";" if ";" in text.splitlines()[0] else ","
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


async def run_example(name: str, folder: Path) -> Done:
    (port,) = free_ports(1)
    source = folder / name
    source.write_bytes((EXAMPLES / name).read_bytes().replace(b":8091/", f":{port}/".encode()))
    output, errors, images = folder / "o.csv", folder / "e.csv", folder / "images"
    ended = await imagebatch(
        "run", source, "--output", output, "--errors", errors, "--images", images,
        "--data", folder / "data", "--json", IMAGEBATCH_EXAMPLES_PORT=str(port),
    )  # fmt: skip
    assert ended.code == 0, ended.stderr
    status = json.loads(ended.stdout)
    return Done(name, status, table_of(output), table_of(errors), images, f"http://127.0.0.1:{port}")


def inputs(name: str, port_of: str) -> list[list[str]]:
    """The rows of an example, read without any code of ours."""
    text = (EXAMPLES / name).read_text(encoding="utf-8-sig").replace("http://127.0.0.1:8091", port_of)
    delimiter = ";" if ";" in text.splitlines()[0] else ","
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [row for row in list(table)[1:] if any(cell.strip() for cell in row)]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The main example, run once for the tests that look at it."""
    return asyncio.run(run_example("products.csv", tmp_path_factory.mktemp("products")))


@pytest.fixture(scope="module")
def spreadsheet(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return asyncio.run(run_example("products_spreadsheet.csv", tmp_path_factory.mktemp("spreadsheet")))


@pytest.mark.parametrize("name", ["products", "spreadsheet"])
def test_every_row_and_every_link_comes_back_in_its_place(name: str, request: pytest.FixtureRequest) -> None:
    done: Done = request.getfixturevalue(name)
    expected = inputs(done.source, done.base)
    assert [[row[column] for column in rows.COLUMNS] for row in done.table] == expected
    failed = {(row[rows.COLUMNS[0]], row[rows.COLUMNS[2]]) for row in done.errors}
    for number, row in enumerate(done.table, 1):
        given = links.split(row["Input Image Urls"])
        stored = row["Output Image Urls"].split(",") if given else []
        assert len(stored) == len(given)
        for slot, (link, new) in enumerate(zip(given, stored, strict=True), 1):
            assert (new == "") == ((row["Serial Number"], link) in failed)
            assert new == "" or f"/{number:07d}-{slot:03d}." in new


def test_the_example_shows_what_failure_looks_like(products: Done) -> None:
    done = products
    failed = {row["Input Image Urls"].removeprefix(done.base): row["error_code"] for row in done.errors}
    assert failed == EXPECTED_FAILURES
    images = done.status["images"]
    assert (images["total"], images["succeeded"], images["failed"]) == (69, 63, 6)
    assert done.status["bytes"]["out"] < done.status["bytes"]["in"] / 2


def test_the_stored_images_are_upright_and_never_larger(products: Done) -> None:
    done = products
    seen = 0
    for row in done.table:
        for link, new in pairs(row):
            before = EXAMPLES / "images" / httpx.URL(link).path.lstrip("/")
            after = done.images / new.rpartition("/")[2]
            assert after.stat().st_size <= before.stat().st_size
            assert upright_size(before) == upright_size(after)
            seen += 1
    assert seen == 63


def pairs(row: dict[str, str]) -> Sequence[tuple[str, str]]:
    both = zip(links.split(row["Input Image Urls"]), row["Output Image Urls"].split(","), strict=False)
    return [(link, new) for link, new in both if new]


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height as a viewer shows it."""
    with Image.open(path) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        return (image.height, image.width) if turned else image.size


async def test_a_refused_file_ends_with_2_and_leaves_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("Serial Number,Product Name\n1,Shirt\n")
    ended = await imagebatch("run", bad, "--data", tmp_path / "data", "--output", tmp_path / "o.csv")
    assert ended.code == 2
    assert "wrong_header" in ended.stderr
    assert "line 1" in ended.stderr
    assert not (tmp_path / "o.csv").exists()


async def test_a_batch_without_any_success_ends_with_1(tmp_path: Path) -> None:
    dead = tmp_path / "dead.csv"
    dead.write_bytes(csv_of([["http://closed-shop.invalid/1.jpg"], ["http://127.0.0.1:9/2.jpg"]]))
    ended = await imagebatch(
        "run", dead, "--data", tmp_path / "data", "--output", tmp_path / "o.csv", "--errors", tmp_path / "e.csv", "--json"
    )  # fmt: skip
    assert ended.code == 1
    assert json.loads(ended.stdout)["status"] == "failed"
    assert {row["error_code"] for row in table_of(tmp_path / "e.csv")} == {"dns_failed", "address_forbidden"}
    assert [row["Output Image Urls"] for row in table_of(tmp_path / "o.csv")] == ["", ""]


@pytest.mark.parametrize(
    "words",
    [["run"], ["run", "missing.csv"], ["nonsense"], ["run", "--port"], ["up", "--port", "0"], ["status"]],
    ids=" ".join,
)
async def test_bad_usage_ends_with_2(words: list[str]) -> None:
    ended = await imagebatch(*words)
    assert ended.code == 2
    assert ended.stderr


async def test_submit_and_status_talk_to_a_running_server(tmp_path: Path) -> None:
    async with serving({"/1.jpg": Page(picture(1))}) as shop:
        source = tmp_path / "p.csv"
        source.write_bytes(csv_of([[shop.url("/1.jpg")]]))
        async with Up(tmp_path / "data", IMAGEBATCH_ALLOWED_NETWORKS=f"127.0.0.1/32:{shop.port}") as up:
            server = f"http://127.0.0.1:{up.port}"
            submitted = await imagebatch("submit", source, "--server", server, "--quality", "60")
            assert submitted.code == 0, submitted.stderr
            hook = ("--webhook-url", shop.url("/hook"))
            opened_there = await imagebatch("submit", source, "--server", server, *hook)
            assert opened_there.code == 0, "which addresses are open is the server's to say"
            closed = await imagebatch(
                "submit", source, "--server", server, "--webhook-url", "http://10.0.0.1/"
            )
            assert (closed.code, "forbidden_webhook_url" in closed.stderr) == (2, True)
            request_id = json.loads(submitted.stdout)["request_id"]
            await up.until_done(request_id)
            asked = await imagebatch("status", request_id, IMAGEBATCH_SERVER=server)
            assert (asked.code, json.loads(asked.stdout)["status"]) == (0, "complete")
            again = await imagebatch(
                "run", source, "--data", tmp_path / "data", "--output", tmp_path / "o.csv", "--json"
            )
            assert again.code == 0, again.stderr
            assert json.loads(again.stdout)["request_id"] != request_id
            unknown = await imagebatch("status", "nobody", "--server", server)
            assert unknown.code == 2


async def test_strangers_read_images_and_output_and_nothing_else(tmp_path: Path) -> None:
    async with (
        serving({"/1.jpg": Page(picture(1))}) as shop,
        Up(tmp_path / "data", IMAGEBATCH_ALLOWED_NETWORKS=f"127.0.0.1/32:{shop.port}") as up,
    ):
        accepted = await up.upload(csv_of([[shop.url("/1.jpg"), shop.url("/2.jpg")]]))
        request_id = accepted["request_id"]
        status = await up.until_done(request_id)
        base = status["output_csv"].removesuffix(keys.output(request_id))
        async with httpx.AsyncClient(trust_env=False) as client:
            output = await client.get(status["output_csv"])
            (row,) = csv.DictReader(io.StringIO(output.text, newline=""))
            public = [status["output_csv"], row["Output Image Urls"].split(",")[0]]
            private = [
                base,
                f"{base}?list-type=2",
                f"{base}images/",
                base + keys.errors(request_id),
                *(base + key for key in up.input_of(request_id)),
                base + keys.report(request_id, 1, 0),
            ]
            assert [(await client.get(url)).status_code for url in public] == [200, 200]
            assert [(await client.get(url)).status_code for url in private] == [403] * len(private)
        errors = await up.http.get(status["errors_csv"])
        assert errors.text.splitlines()[1].endswith(",http_status,HTTP 404")


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_second_ctrl_c_ends_everything_at_once(tmp_path: Path) -> None:
    async with Up(tmp_path / "data") as up:
        family = up.family()
        is_read = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"Serial Number,Product Name,Input Image Urls\n"
            is_read.set()
            await asyncio.Event().wait()

        upload = asyncio.create_task(
            up.http.post("/upload", content=endless(), headers={"content-type": "text/csv"})
        )
        await is_read.wait()  # an upload that runs gets ten seconds to end
        assert await up.interrupt_twice() == 130
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)
    await until(lambda: not [process for process in family if lives(process)])  # the kernel takes them down


async def test_the_parts_of_the_embedded_s3_serve_nobody_without_keys(tmp_path: Path) -> None:
    async with Up(tmp_path / "data") as up:
        accepted = await up.upload(csv_of([["http://closed-shop.invalid/1.jpg"]]))
        ports = json.loads((tmp_path / "data" / "system.json").read_text())["ports"]
        path = f"/buckets/imagebatch/{up.input_of(accepted['request_id'])[0]}"
        async with httpx.AsyncClient(trust_env=False) as client:
            filer = f"http://127.0.0.1:{ports['filer']}"
            answers = [
                await client.get(filer + path),
                await client.put(f"{filer}/buckets/imagebatch/images/x.jpg", content=b"x"),
                await client.post(f"{filer}/buckets/imagebatch/images/x.jpg", files={"file": b"x"}),
                await client.delete(filer + path),
                await client.get(f"http://127.0.0.1:{ports['volume']}/1,01637037d6"),
            ]
        assert [answer.status_code for answer in answers] == [401] * len(answers)
