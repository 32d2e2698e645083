"""Heads of answers: what is no header line is left out, save what may say where the body ends."""

from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy
from imagebatch.net.http.head import MAX_HEAD_BYTES, HeadBuffer, mended
from imagebatch_testing.web import Handler, Web, serving

pytestmark = pytest.mark.anyio

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving() as server:
        yield server


def once(answer: bytes) -> Handler:
    async def handler(_: object, writer: object) -> None:
        writer.write(answer)  # type: ignore[attr-defined]
        await writer.drain()  # type: ignore[attr-defined]

    return handler


async def get(web: Web, answer: bytes) -> httpx.Response:
    web.routes["/x"] = once(answer)
    async with transport.client(
        AddressPolicy.parse("127.0.0.1/32"), connections=1, timeout=httpx.Timeout(20)
    ) as client:
        return await client.get(web.url("/x"))


@pytest.mark.parametrize(
    "line",
    [
        b"Access-Control-Allow-Headers : Origin",
        b"X Powered By: shop",
        b"PHP Warning:  Unable to load dynamic library 'x' in Unknown on line 0",
        b"<b>Warning</b>: Cannot modify header information",
        b"garbage line without a colon",
        b": no name",
        b"garbage\r\n and its second line",
        b"garbage:\r\n and its second line",
        b"X-Long: a\r\n  b",
        b"X-Bell: a\x07b",
        b"X-Name: caf\xe9",
        b"Server:",
        b"X-\xe9: a",
        b"PHP Notice: Content-Length was sent before in x.php",
    ],
)
async def test_a_line_that_is_no_header_does_not_cost_the_image(web: Web, line: bytes) -> None:
    response = await get(web, GOOD + line + b"\r\nX-Last: yes\r\n\r\ngood")
    assert (response.content, response.headers["X-Last"]) == (b"good", "yes")


async def test_a_blank_before_the_colon_is_not_part_of_the_name(web: Web) -> None:
    response = await get(web, GOOD + b"Content-Type : image/jpeg\r\n\r\ngood")
    assert response.headers["Content-Type"] == "image/jpeg"


async def test_a_line_that_goes_on_with_nothing_is_left_out(web: Web) -> None:
    response = await get(web, b"HTTP/1.1 200 OK\r\n begins with a blank\r\nContent-Length: 4\r\n\r\ngood")
    assert response.content == b"good"


@pytest.mark.parametrize("status", [b"http/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK"])
async def test_a_status_line_as_old_servers_write_it(web: Web, status: bytes) -> None:
    assert (await get(web, status + b"\r\nContent-Length: 4\r\n\r\ngood")).content == b"good"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length : 4",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 4\r\nContent-Length : 5",
        b"Content-Length: 4\r\nTransfer-Encoding : chunked",
        b"Content-Length: 4\r\nTransfer-Encoding\t: chunked",
        b"Content-Length: 4\r\nTransfer Encoding: chunked",
        b"Content-Length: 4\r\n Content-Length: 5\x0b",
        b"Content-Length: 4\r\nContent-Length 5",
        b"Content-Length: 4\r\nX: a\rTransfer-Encoding: chunked",
        b"Content-Length: +4",
        b"Content-Length: 4 4",
        b"Content-Length: 0x4",
        b"Content-Length: 4\r\n 5",
        b"Content-Length:",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Content-Length: 4\r\nX\x00: a",
        b"garbage\r\n Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content\x0b-Length: 4",
    ],
)
async def test_what_may_say_where_the_body_ends_is_never_mended(web: Web, lines: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        await get(web, b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\ngood!")
    assert not any(repr_ in str(caught.value) for repr_ in ("bytearray", "b'", 'b"'))


async def test_a_head_is_bounded(web: Web) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="headers"):
        await get(web, GOOD + b"garbage\r\n" * MAX_HEAD_BYTES + b"\r\ngood")


HEADS = st.lists(
    st.sampled_from([b"A: b", b"A : b", b"no colon", b" fold", b"\tfold", b"Content-Length: 3", b"Content-Length : 3", b"Transfer-Encoding: chunked", b"X Y: z", b"\x00", b"a\rb: c"])
    | st.binary(max_size=12),
    max_size=8,
)  # fmt: skip


@given(HEADS, st.lists(st.integers(1, 9), max_size=20))
def test_a_head_is_the_same_however_it_is_cut(lines: list[bytes], sizes: list[int]) -> None:
    data = b"\r\n".join([b"HTTP/1.1 200 OK", *lines]) + b"\r\n\r\nbody"
    whole, cut, at = HeadBuffer(), HeadBuffer(), 0
    whole.add(data)
    for size in sizes:
        cut.add(data[at : at + size])
        at += size
    cut.add(data[at:])
    assert whole.take() == cut.take()


@given(HEADS)
def test_mending_never_changes_a_line_about_the_body(lines: list[bytes]) -> None:
    """Every line with these words that went in comes out as it was, save within the text of a warning."""
    head = b"\r\n".join([b"HTTP/1.1 200 OK", *lines]) + b"\r\n\r\n"
    kept = mended(head).split(b"\n")
    for line in head.split(b"\n")[1:]:
        name = line.partition(b":")[0].lower()
        if b"content-length" in name or b"transfer-encoding" in name:
            assert line in kept
