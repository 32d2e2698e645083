"""Cookies of one chain of redirects: sent back to whom they are from, and to nobody else."""

import httpx
import pytest

from imagebatch.net.http.cookies import MAX_BYTES, MAX_COOKIES, ChainCookies


def sent(setter: str, lines: list[str], url: str) -> str:
    """The Cookie that a request for `url` gets after an answer of `setter` with these Set-Cookie lines."""
    cookies = ChainCookies()
    headers = [(b"Set-Cookie", line.encode("latin-1")) for line in lines]
    cookies.take(httpx.Response(302, headers=headers, request=httpx.Request("GET", setter)))
    request = httpx.Request("GET", url, headers={"Cookie": "stale=1"})
    cookies.send(request)
    return str(request.headers.get("Cookie", ""))


@pytest.mark.parametrize(
    ("line", "url", "cookie"),
    [
        ("seen=1", "http://shop.test/a/x", "seen=1"),
        ("seen=1; path=/", "http://shop.test/other", "seen=1"),
        ("seen=1", "http://shop.test/b/x", ""),
        ("seen=1; Path=/a", "http://shop.test/ab", ""),
        ("seen=1; Path=/a", "http://shop.test/a", "seen=1"),
        ("seen=1; Path=/", "http://other.test/a/x", ""),
        ("seen=1; Path=/", "http://img.shop.test/a/x", ""),
        ("seen=1; Path=/; Domain=.shop.test", "http://img.shop.test/a", "seen=1"),
        ("seen=1; Path=/; Domain=shop.test", "http://evilshop.test/a", ""),
        ("seen=1; Path=/; Domain=other.test", "http://other.test/a", ""),
        ("seen=1; Path=/; Domain=test", "http://other.test/a", ""),
        ("seen=1; Path=/; Domain=test", "http://shop.test/a", ""),
        ("seen=1; Path=/; Secure", "http://shop.test/a", ""),
        ("seen=1; Path=/; Secure", "https://shop.test/a", "seen=1"),
        ("seen=1; Path=/; Max-Age=0", "http://shop.test/a", ""),
        ("seen=1; Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT; HttpOnly; SameSite=Lax", "http://shop.test/a", "seen=1"),
        ("seen=\xe9; Path=/", "http://shop.test/a", ""),
        ("nothing; Path=/", "http://shop.test/a", ""),
        ("=1; Path=/", "http://shop.test/a", ""),
    ],
)  # fmt: skip
def test_a_cookie_goes_where_it_belongs(line: str, url: str, cookie: str) -> None:
    assert sent("http://shop.test/a/start", [line], url) == cookie


def test_an_address_has_no_hosts_under_it() -> None:
    assert sent("http://127.0.0.1/a", ["a=1; Domain=127.0.0.1; Path=/"], "http://127.0.0.1/b") == "a=1"
    assert sent("http://127.0.0.1/a", ["a=1; Domain=0.0.1; Path=/"], "http://127.0.0.1/b") == ""


def test_a_cookie_that_is_set_again_is_replaced() -> None:
    assert (
        sent("http://shop.test/a", ["a=1; Path=/", "b=2; Path=/", "a=3; Path=/"], "http://shop.test/b")
        == "b=2; a=3"
    )


def test_cookies_are_bounded() -> None:
    many = [f"n{number}=1; Path=/" for number in range(1000)]
    assert sent("http://shop.test/a", many, "http://shop.test/b").count("=") == MAX_COOKIES
    large = [f"n{number}={'x' * 1000}; Path=/" for number in range(10)]
    assert len(sent("http://shop.test/a", large, "http://shop.test/b")) <= MAX_BYTES
