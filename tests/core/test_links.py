"""Links in cells."""

import pytest

from imagebatch import links
from imagebatch.outcome import ErrorCode


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("http://a/1.jpg", ["http://a/1.jpg"]),
        ("http://a/1.jpg,https://b/2.jpg", ["http://a/1.jpg", "https://b/2.jpg"]),
        ("http://a/1.jpg,   HTTPS://b/2.jpg ,", ["http://a/1.jpg", "HTTPS://b/2.jpg"]),
        ("http://a/1.jpg\nhttp://b/2.jpg\r\nhttp://c", ["http://a/1.jpg", "http://b/2.jpg", "http://c"]),
        ("http://a/w_400,h_300/x.jpg,http://b", ["http://a/w_400,h_300/x.jpg", "http://b"]),
        ("not a link, http://b", ["not a link", "http://b"]),
        ("http://a,,http://b", ["http://a", "http://b"]),
        ("http://a/?x=http://b", ["http://a/?x=http://b"]),
    ],
)
def test_split_takes_a_separator_only_before_a_link(cell: str, expected: list[str]) -> None:
    assert links.split(cell) == expected


@pytest.mark.parametrize(
    "link", ["http://a/x.jpg", "https://a:8443/x", "http://[::1]/x", "http://münchen.example/ü?q=1#f"]
)
def test_check_accepts_a_link(link: str) -> None:
    assert links.check(link) is None


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ("htp:/oops", ErrorCode.INVALID_URL),
        ("ftp://a/x", ErrorCode.INVALID_URL),
        ("http://", ErrorCode.INVALID_URL),
        ("http:///x", ErrorCode.INVALID_URL),
        ("http://a:99999/", ErrorCode.INVALID_URL),
        ("http://a:b/", ErrorCode.INVALID_URL),
        ("http://[::1/", ErrorCode.INVALID_URL),
        ("http://a b/", ErrorCode.INVALID_URL),
        ("http://xn--/x.jpg", ErrorCode.INVALID_URL),
        ("http://a/\x00", ErrorCode.INVALID_URL),
        ("http://a/" + "x" * 9000, ErrorCode.INVALID_URL),
        ("http://user:secret@a/", ErrorCode.CREDENTIALS_IN_URL),
        ("http://user@a/", ErrorCode.CREDENTIALS_IN_URL),
    ],
)
def test_check_says_why_a_link_is_not_fetched(link: str, code: ErrorCode) -> None:
    bad = links.check(link)
    assert bad is not None
    assert bad.code == code
    assert "secret" not in bad.message
