"""Files and hosts as shops have them, from the CSV's bytes to the output's: each bad entry costs its own place.

docs/csv.md and docs/hosts.md name these tests.
"""

# ruff: noqa: RUF001 - names as people write them
import asyncio
import csv
import gzip
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from PIL import Image

from imagebatch.batch import shard
from imagebatch.batch.shard import Report, ShardId
from imagebatch.csv import rows
from imagebatch.csv.ingest import Ingested, ingest
from imagebatch.csv.merge import merge
from imagebatch.net.guard import Address, AddressPolicy
from imagebatch.options import Compression
from imagebatch.outcome import ImageOutcome
from imagebatch.storage import keys
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.download.budget import ByteBudget
from imagebatch_jobrunner.download.fetch import Fetcher, image_client
from imagebatch_jobrunner.limits import CodecLimits, FetchLimits, PictureLimits
from imagebatch_jobrunner.services import Services
from imagebatch_jobrunner.shard_run import ShardRun, process_images
from imagebatch_testing.certificates import Authority
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.web import Handler, Page, Web, serving

pytestmark = pytest.mark.anyio

Encode = Callable[..., bytes]
HEADER = "Serial Number,Product Name,Input Image Urls\r\n"


@dataclass(frozen=True)
class World:
    """A host that speaks HTTP, one that speaks HTTPS under any name in .test, and the picture they serve."""

    web: Web
    secure: Web
    authority: Authority
    picture: bytes

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        async def to_loopback(_: str, __: int) -> Sequence[Address]:
            return [ip_address("127.0.0.1")]

        limits, policy = FetchLimits(backoff_s=0.0), AddressPolicy.parse("127.0.0.1/32")
        tls = self.authority.client_context()
        async with (
            image_client(policy, limits, resolve=to_loopback, tls=tls) as http,
            CodecPool(CodecLimits(processes=1), PictureLimits()) as codecs,
        ):
            yield Services(
                fetcher=Fetcher(http, limits),
                codecs=codecs,
                budget=ByteBudget(1 << 26),
                options=Compression(),
            )


@pytest.fixture
async def world(
    encode: Encode, photo: Image.Image, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    picture = encode(photo, "JPEG", quality=90)
    authority = Authority(tmp_path_factory.mktemp("authority"))
    pages = {f"/{name}.jpg": Page(picture) for name in ("p1", "p2", "p3", "win/pic", "a,b", "Big,%20red")}
    context = authority.server_context("DNS:shop.test,DNS:www.shop.test")
    async with serving(pages) as web, serving(pages, tls=context) as secure:
        yield World(web, secure, authority, picture)


@dataclass(frozen=True)
class Done:
    """What became of a file: what ingest said, the outcomes, and the output CSV's rows."""

    ingested: Ingested
    outcomes: Sequence[ImageOutcome]
    output: bytes
    errors: bytes

    @property
    def table(self) -> list[list[str]]:
        text = self.output.decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=rows.delimiter_of(text)))[1:]

    @property
    def codes(self) -> list[str]:
        return [str(outcome.error or "") for outcome in self.outcomes]


async def done(world: World, data: bytes) -> Done:
    store = MemoryStore()
    ingested = ingest(store, "r1", [data])
    for index in range(len(ingested.plan.shards)):
        await process_images(ShardRun(shard=ShardId("r1", 1, index), run="run"), store, world.services)
    merged = merge(store, "r1", 1, ingested.plan)
    report = Report.from_json(store.get(keys.report("r1", 1, 0)))
    return Done(
        ingested,
        list(shard.read_fragment([store.get(report.fragment)])),
        store.get(keys.output("r1")),
        store.get(merged.errors_key) if merged.errors_key else b"",
    )


async def of_cells(world: World, cells: Sequence[str]) -> Done:
    lines = (rows.record([str(row), "x", cell], "\r\n") for row, cell in enumerate(cells, start=1))
    return await done(world, (HEADER + "".join(lines)).encode())


async def test_a_bad_entry_costs_its_own_place_only(world: World) -> None:
    """c01: five kinds of neighbours."""
    p1, p3 = world.web.url("/p1.jpg"), world.web.url("/p3.jpg")
    secure = world.secure.url("/p2.jpg", "shop.test").removeprefix("https:")
    cells = [
        f"{p1}, N/A, {p3}",
        f"{p1},{secure}",
        f"{p1},htps://127.0.0.1/p2.jpg",
        f"{p1}, p2.jpg",
        f"{p1},ftp://127.0.0.1/p2.jpg,{p3}",
    ]
    result = await of_cells(world, cells)
    assert [len(row[3].split(",")) for row in result.table] == [3, 2, 2, 2, 3]
    assert [[bool(link) for link in row[3].split(",")] for row in result.table] == [
        [True, False, True],
        [True, True],
        [True, False],
        [True, False],
        [True, False, True],
    ]
    assert [row[2] for row in result.table] == cells, "the user's column stays as he wrote it"
    assert result.errors.count(b"invalid_url") == 4


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
async def test_what_excel_writes_comes_back_as_excel_reads_it(
    world: World, encoding: str, delimiter: str
) -> None:
    """c03, c04: the delimiter is the input's, and what was not UTF-8 is UTF-8 with a mark."""
    lines = [
        list(rows.COLUMNS),
        ["1", "Café crème", world.web.url("/p1.jpg")],
        ["2", "Größe – 5 €", world.web.url("/missing.jpg")],
    ]
    data = "".join(rows.record(line, "\r\n", delimiter) for line in lines).encode(encoding)
    result = await done(world, data)
    assert result.output.startswith(b"\xef\xbb\xbf") == (encoding != "utf-8")
    assert result.errors.startswith(b"\xef\xbb\xbf") == (encoding != "utf-8")
    text = result.output.decode("utf-8-sig")
    assert text.splitlines()[0] == delimiter.join([*rows.COLUMNS, rows.OUTPUT_COLUMN])
    assert [row[1] for row in result.table] == ["Café crème", "Größe – 5 €"]
    warned = [warning.code for warning in result.ingested.warnings]
    assert warned == (["encoding_guessed"] if encoding == "windows-1252" else [])
    again = ingest(MemoryStore(), "r2", [result.errors])
    assert (again.plan.rows, again.plan.images, again.warnings) == (1, 1, ())


async def test_a_row_without_its_empty_last_cells_is_padded(world: World) -> None:
    """c06."""
    p1 = world.web.url("/p1.jpg")
    result = await done(world, f"{HEADER}1,Shirt,{p1}\r\n2,Hat (no photo yet)\r\n3,Shoe,{p1}\r\n".encode())
    assert [(row[0], bool(row[3])) for row in result.table] == [("1", True), ("2", False), ("3", True)]
    assert result.table[1][2] == ""


@pytest.mark.parametrize(
    "header",
    ["\ufeff\ufeff" + HEADER, "Serial Number,\u200bProduct Name,Input Image Urls\u200e\r\n", "\u2060" + HEADER, "Serial\u00a0Number,Product Name,Input Image\u200b Urls\r\n"],
    ids=["two marks", "zero width", "word joiner", "no-break space"],
)  # fmt: skip
async def test_invisible_characters_in_a_header_are_not_seen(world: World, header: str) -> None:
    """c07."""
    result = await done(world, f"{header}1,a,{world.web.url('/p1.jpg')}\r\n".encode())
    assert result.codes == [""]


async def test_invisible_characters_around_links_are_not_seen(world: World) -> None:
    """c11: at the ends they are nobody's wish; within a link they are part of it."""
    p1, p2 = world.web.url("/p1.jpg"), world.web.url("/p2.jpg")
    cells = [
        *(f"{one}{p1}{one}" for one in "\u200b\ufeff\u200e\u202a\u2060\u00a0\u3000\u00ad"),
        f"{p1},\u200b{p2}",
        p1.replace("p1", "\u200bp1"),
    ]
    result = await of_cells(world, cells)
    assert result.codes == [""] * 10 + ["http_status"]
    assert [row[2] for row in result.table] == cells


async def test_links_without_a_scheme_and_with_backslashes(world: World) -> None:
    """c13: as a browser reads them, and told in the notes."""
    at = f"shop.test:{world.secure.port}/win/pic.jpg"
    web = f"127.0.0.1:{world.web.port}"
    cells = [
        f"http://{web}/win\\pic.jpg",
        f"http:\\\\{web}\\win\\pic.jpg",
        f"//{at}",
        at,
        f"www.{at}",
        "127.0.0.1:1/win/pic.jpg",
        "pic.jpg",
    ]
    result = await of_cells(world, cells)
    assert result.codes == ["", "", "", "", "", "connect_failed", "invalid_url"]
    notes = [set(outcome.notes) & {"backslashes_read", "https_assumed"} for outcome in result.outcomes]
    assert notes == [{"backslashes_read"}] * 2 + [{"https_assumed"}] * 3 + [set(), set()]
    assert "https:// was tried" in result.outcomes[5].message


async def test_quotes_brackets_and_lists_around_links(world: World) -> None:
    p1, p2 = world.web.url("/p1.jpg"), world.web.url("/a,b.jpg")
    escaped = p2.replace("/", r"\/")
    cells = [
        f'"{p1}"',
        f"<{p1}> <{p2}>",
        f'["{p1}", "{escaped}"]',
        f"['{p1}', '{p2}']",
        f"\u201c{p1}\u201d; \u201c{p2}\u201d",
        f'"{p1}, {p2}"',
    ]
    result = await of_cells(world, cells)
    assert result.codes == [""] * 11
    assert [len(row[3].split(",")) for row in result.table] == [1, 2, 2, 2, 2, 2]


async def test_links_with_separators_in_them_are_fetched_whole(world: World) -> None:
    world.web.routes["/w_8,h_6/https://o.test/x.jpg"] = Page(world.picture)
    links = [
        world.web.url(path)
        for path in ("/a,b.jpg", "/Big, red.jpg", "/p1.jpg?a=1,2;b|3", "/w_8,h_6/https://o.test/x.jpg")
    ]
    assert (await of_cells(world, [", ".join(links), *links])).codes == [""] * 8


async def test_an_escaped_ampersand_is_tried_unescaped_when_it_fails_as_written(world: World) -> None:
    async def signed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = b"&sig=1" in world_target(world)
        body = world.picture if found else b"<Error>MissingSig</Error>"
        status = b"200 OK" if found else b"403 Forbidden"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    world.web.routes["/amp"] = signed
    cells = [
        world.web.url("/amp?a=1&amp;sig=1"),
        world.web.url("/p1.jpg?a=1&amp;b=2"),
        world.web.url("/missing?a=1&amp;b=2"),
    ]
    result = await of_cells(world, cells)
    assert result.codes == ["", "", "http_status"]
    assert ["amp_unescaped" in outcome.notes for outcome in result.outcomes] == [True, False, False]
    assert world.web.requests["/missing"] == 2


def world_target(world: World) -> bytes:
    """The target of the last request, which the server keeps with the query."""
    return world.web.targets[-1].encode()


def raw(head: bytes, body: bytes) -> Handler:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    return handler


async def test_odd_words_for_an_encoding_do_not_cost_the_image(world: World) -> None:
    """c16, and what hosts do with gzip."""
    picture = world.picture
    zipped = {
        "zip": gzip.compress(picture),
        "members": gzip.compress(picture[:500]) + gzip.compress(picture[500:]),
        "padded": gzip.compress(picture) + bytes(16),
    }
    pages: Mapping[str, Page] = {
        **{f"/{word.replace('/', '-')}": Page(picture, headers={"Content-Encoding": word}) for word in ("none", "UTF-8", "binary", "image/jpeg", "br", "gzip")},
        **{f"/{name}": Page(body, headers={"Content-Encoding": "gzip"}) for name, body in zipped.items()},
    }  # fmt: skip
    world.web.routes.update(pages)
    assert (await of_cells(world, [world.web.url(path) for path in pages])).codes == [""] * len(pages)


async def test_header_lines_that_are_none_do_not_cost_the_image(world: World) -> None:
    """c17."""
    lines = [
        b"Access-Control-Allow-Headers : Origin",
        b"X Powered By: shop",
        b"PHP Warning: PHP Startup: in Unknown on line 0",
        b"garbage line",
    ]
    world.web.routes |= {f"/{number}": raw(line, world.picture) for number, line in enumerate(lines)}
    world.web.routes["/strict"] = raw(b"Content-Length : 3", world.picture)
    result = await of_cells(world, [world.web.url(path) for path in ("/0", "/1", "/2", "/3", "/strict")])
    assert result.codes == ["", "", "", "", "download_failed"]
    assert "bytearray" not in result.outcomes[4].message


async def test_a_viewer_page_is_called_one(world: World) -> None:
    """c22."""
    page = b"<!DOCTYPE html><html><head><title>shirt.jpg - Google Drive</title></head></html>"
    world.web.routes["/file/d/ABC123/view"] = Page(page, headers={"Content-Type": "text/html"})
    result = await of_cells(world, [world.web.url("/file/d/ABC123/view?usp=sharing")])
    assert result.codes == ["share_link"]
    assert "Google Drive" in result.outcomes[0].message
