"""Links in cells: where entries end, and what is fetched for each."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
        ("http://a/1.jpg, N/A, http://a/3.jpg", ["http://a/1.jpg", "N/A", "http://a/3.jpg"]),
        ("http://a/1.jpg,N/A,http://a/3.jpg", ["http://a/1.jpg", "N/A", "http://a/3.jpg"]),
        ("http://a/1, no image, http://a/3", ["http://a/1", "no image", "http://a/3"]),
        ("N/A, none, http://a/3.jpg", ["N/A", "none", "http://a/3.jpg"]),
        ("http://a/1.jpg,//a/2.jpg", ["http://a/1.jpg", "//a/2.jpg"]),
        ("http://a/1.jpg,htps://a/2.jpg", ["http://a/1.jpg", "htps://a/2.jpg"]),
        ("http://a/1.jpg, p2.jpg", ["http://a/1.jpg", "p2.jpg"]),
        ("http://a/1.jpg;p2.jpg", ["http://a/1.jpg", "p2.jpg"]),
        ("http://a/1.jpg,ftp://a/2.jpg,http://a/3", ["http://a/1.jpg", "ftp://a/2.jpg", "http://a/3"]),
        ("http://a/1.jpg,shop.test/2.jpg", ["http://a/1.jpg", "shop.test/2.jpg"]),
        ("http://a/1, mailto:me@a", ["http://a/1", "mailto:me@a"]),
        ("C:\\a, b.jpg|http://b", ["C:\\a", "b.jpg", "http://b"]),
        ("http://a/1?v=2, N/A", ["http://a/1?v=2", "N/A"]),
        ("http://a/1 http://b/2\thttp://c/3", ["http://a/1", "http://b/2", "http://c/3"]),
        ("http://a/1|www.b.test/2 | http://c/3", ["http://a/1", "www.b.test/2", "http://c/3"]),
        (
            "http://a/1\uff0chttp://b/2\u3001http://c/3\u060chttp://d",
            ["http://a/1", "http://b/2", "http://c/3", "http://d"],
        ),
        ("http://a/1\nno photo yet\nhttp://b/2", ["http://a/1", "no photo yet", "http://b/2"]),
        ("\u200bhttp://a/1,\ufeffhttp://b/2\u2060\u00a0", ["http://a/1", "http://b/2"]),
        ("http://a/\u200b1.jpg", ["http://a/\u200b1.jpg"]),
        ('"http://a/1, x.jpg", <http://b/2>', ['"http://a/1, x.jpg"', "<http://b/2>"]),
        (r'["http:\/\/a\/1.jpg", null, "http://b/2"]', ["http://a/1.jpg", "null", "http://b/2"]),
        ("['http://a/1.jpg', 'http://b/2']", ["http://a/1.jpg", "http://b/2"]),
    ],
)
def test_split_takes_each_thing_that_was_meant_as_an_entry(cell: str, expected: list[str]) -> None:
    assert links.split(cell) == expected


@pytest.mark.parametrize(
    "link",
    [
        "https://res.test/image/upload/w_800,h_600,c_fill/x.jpg",
        "https://res.test/image/upload/w_500,l_text:Arial_80:Flowers/x.jpg",
        "https://res.test/image/fetch/w_800,f_auto/https://other.test/x.jpg",
        "https://proxy.test/fetch/https://other.test/x.jpg",
        "https://a.test/Big, red.jpg",
        "https://a.test/Big, red and blue; large.jpg",
        "https://a.test/x?bbox=1,2,3&layers=topp:roads,topp:states",
        "https://a.test/x?name=Big, red&size=2",
        "https://a.test/x?family=A|B;v=2",
        "https://a.test/x.jpg;jsessionid=1A",
        "https://a.test/x.jpg?a=1&amp;b=2",
        "https://a.test/montage/a.jpg,b.jpg",
        "https://a.test/x#a,b",
        "data:image/png;base64,iVBORw0KGgo=",
    ],
)
def test_a_link_with_separators_in_it_stays_whole(link: str) -> None:
    assert links.split(link) == [link]
    assert links.split(f"{link}, https://b.test/y.jpg") == [link, "https://b.test/y.jpg"]
    assert links.split(f"https://b.test/y.jpg,{link}") == ["https://b.test/y.jpg", link]


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ("https://a/x.jpg, front", 2),
        ("https://a/x?v=1, red", 2),
        ("https://a/Big, red.jpg", 1),
        ("https://a/x.jpg,p2.jpg", 1),
        ("https://a/x.jpg front", 1),
    ],
)
def test_a_cell_that_can_be_read_in_two_ways_says_how_it_was_read(cell: str, count: int) -> None:
    found = links.entries(cell)
    assert (len(found.entries), bool(found.doubt)) == (count, True)


@pytest.mark.parametrize(
    "cell", ["https://a/w_800,h_6/x.jpg", "https://a/x.jpg, N/A, https://b", "a, b", "https://a;https://b"]
)
def test_a_plain_cell_is_not_called_doubtful(cell: str) -> None:
    assert links.entries(cell).doubt == ""


GOOD = st.sampled_from(
    [
        "https://a.test/x.jpg", "http://a.test/y.PNG", "HTTPS://b.test/z.webp?w=1&h=2", "https://c.test/a,b/c.jpg",
        "//cdn.test/x.jpg", "www.d.test/x.gif", "https://res.test/w_8,h_6/f_auto/https://o.test/x.jpg#1", "https://ü.test/ä.jpg",
    ]
)  # fmt: skip
BAD = st.sampled_from(
    [
        "N/A",
        "n/a",
        "-",
        "none",
        "no image",
        "htps://a.test/x.jpg",
        "ftp://a.test/x.jpg",
        "mailto:me@a.test",
        "C:\\x.jpg",
    ]
)
TEXTS = st.sampled_from(
    ["p2.jpg", "see the catalogue", "shirt (blue)", "images/x.jpg", "TODO ask Anna", "???"]
)
MARKED = st.sampled_from(
    [", ", "; ", " , ", "\n", "\r\n", ",\n", "\uff0c ", "\u3001 ", "\u060c ", ",\u00a0", ", \u200b"]
)
TIGHT = st.sampled_from([",", ";", "|", " | ", "\uff0c", "\u3001"])


@given(st.lists(GOOD | BAD | TEXTS, max_size=8), st.lists(MARKED, min_size=8, max_size=8))
def test_any_entries_behind_any_separator_come_back(given_: list[str], separators: list[str]) -> None:
    """A separator and a blank, or a line break, between whatever was meant as an entry."""
    cell = "".join(f"{entry}{separator}" for entry, separator in zip(given_, separators, strict=False))
    assert links.split(cell) == given_


@given(st.lists(GOOD | BAD, max_size=8), st.lists(MARKED | TIGHT, min_size=8, max_size=8))
def test_links_and_what_stands_for_a_missing_one_need_no_blank(
    given_: list[str], separators: list[str]
) -> None:
    cell = "".join(f"{entry}{separator}" for entry, separator in zip(given_, separators, strict=False))
    assert links.split(cell) == given_


@given(st.lists(GOOD, max_size=8))
def test_links_need_but_a_blank_between_them(given_: list[str]) -> None:
    assert links.split(" ".join(given_)) == given_


@given(
    st.lists(st.sampled_from(['"{}"', "<{}>", "'{}'", "\u201c{}\u201d", "\u200b{}\u200e", "{}"]), max_size=6),
    GOOD,
    MARKED | TIGHT,
)
def test_links_in_quotes_are_read_as_links(wraps: list[str], link: str, separator: str) -> None:
    found = links.split(separator.join(wrap.format(link) for wrap in wraps))
    assert [links.read(entry) for entry in found] == [links.read(link)] * len(wraps)


@given(st.lists(GOOD | BAD | TEXTS | st.text(min_size=1, max_size=8), max_size=8))
def test_the_items_of_a_json_list_come_back(items: list[str]) -> None:
    found = links.split(json.dumps(items))
    meant = [links.trimmed(item) for item in items if links.trimmed(item)]
    assert [json.loads(one)[0] if one not in meant else one for one in found] == meant


SCRAPS = st.sampled_from(
    [*",;|\" '<>[]\n\r\t", "http://a", "//b", "www.", ".jpg", "?", "#", "a:b", "N/A", "\u200b", "\uff0c", "x"]
)
CELLS = st.lists(SCRAPS | st.text(max_size=4), max_size=14).map("".join)


@given(CELLS)
@example('["http://a, http://b"]')
def test_an_entry_alone_in_a_cell_is_that_entry(cell: str) -> None:
    """So that errors.csv, with one entry a row, can be uploaded again."""
    for entry in links.split(cell):
        assert links.split(entry) == [entry]


@pytest.mark.parametrize(
    "piece",
    [
        "a, ",
        "\u200b",
        " ",
        ",",
        '"a,',
        "<a ",
        '" ',
        "http://a, ",
        ".jpg ",
        "http://a.jpg,b ",
        "['",
        "a.",
        "[[",
        "www.a/x;",
    ],
)
def test_a_cell_of_a_mebibyte_is_split_in_time_that_grows_with_it(piece: str) -> None:
    cell = "http://a/" + piece * ((1 << 18) // len(piece))
    times = []
    for text in (cell[: len(cell) // 4], cell):
        started = time.process_time()
        links.split(text)
        times.append(time.process_time() - started)
    assert times[1] < 10 * max(times[0], 0.05)


@pytest.mark.parametrize(
    ("entry", "url", "notes"),
    [
        ("https://a.test/x.jpg", "https://a.test/x.jpg", ()),
        ("//a.test/x.jpg", "https://a.test/x.jpg", ("https_assumed",)),
        ("www.a.test/x.jpg", "https://www.a.test/x.jpg", ("https_assumed",)),
        ("a.test/x.jpg", "https://a.test/x.jpg", ("https_assumed",)),
        ("10.1.2.3:80/x.jpg", "https://10.1.2.3:80/x.jpg", ("https_assumed",)),
        ("http:\\\\a.test\\img\\x.jpg", "http://a.test/img/x.jpg", ("backslashes_read",)),
        ("http://a.test/win\\x.jpg?a=\\", "http://a.test/win/x.jpg?a=\\", ("backslashes_read",)),
        ("https:/a.test/x.jpg", "https://a.test/x.jpg", ("slashes_read",)),
        ("\u201chttps://a.test/x.jpg\u201d", "https://a.test/x.jpg", ()),
        ("\u200b<https://a.test/x.jpg>\u200e", "https://a.test/x.jpg", ()),
        (
            "https://drive.google.com/file/d/1a_B-c/view?usp=sharing",
            "https://drive.google.com/uc?export=download&id=1a_B-c",
            ("direct_link",),
        ),
        (
            "https://drive.google.com/open?id=1a_B-c&resourcekey=k",
            "https://drive.google.com/uc?export=download&id=1a_B-c&resourcekey=k",
            ("direct_link",),
        ),
        (
            "https://www.dropbox.com/s/ab/x.jpg?dl=0",
            "https://www.dropbox.com/s/ab/x.jpg?dl=1",
            ("direct_link",),
        ),
        (
            "https://www.dropbox.com/scl/fi/ab/x.jpg?rlkey=k&amp;dl=0",
            "https://www.dropbox.com/scl/fi/ab/x.jpg?rlkey=k&dl=1",
            ("direct_link",),
        ),
        (
            "https://1drv.ms/i/s!Ab",
            "https://api.onedrive.com/v1.0/shares/u!aHR0cHM6Ly8xZHJ2Lm1zL2kvcyFBYg/root/content",
            ("direct_link",),
        ),
        (
            "https://onedrive.live.com/embed?resid=A!1&authkey=k",
            "https://onedrive.live.com/download?resid=A%211&authkey=k",
            ("direct_link",),
        ),
        (
            "https://a-my.sharepoint.com/:i:/g/p/T?e=x",
            "https://a-my.sharepoint.com/:i:/g/p/T?e=x&download=1",
            ("direct_link",),
        ),
        (
            "https://drive.google.com.evil.test/file/d/1a_B-c/view",
            "https://drive.google.com.evil.test/file/d/1a_B-c/view",
            (),
        ),
        ("https://dl.dropboxusercontent.com/s/ab/x.jpg", "https://dl.dropboxusercontent.com/s/ab/x.jpg", ()),
    ],
)
def test_what_is_fetched_for_an_entry(entry: str, url: str, notes: tuple[str, ...]) -> None:
    assert links.read(entry) == (links.Address(url, notes),)


def test_an_escaped_ampersand_is_tried_as_written_first() -> None:
    assert links.read("https://a.test/?a=1&amp;b=2") == (
        links.Address("https://a.test/?a=1&amp;b=2"),
        links.Address("https://a.test/?a=1&b=2", ("amp_unescaped",)),
    )


@pytest.mark.parametrize(
    ("entry", "code", "says"),
    [
        ("N/A", "invalid_url", "says that there is none"),
        ("p2.jpg", "invalid_url", "a file's name"),
        ("images/p2.jpg", "invalid_url", "a path without a host"),
        ("C:\\pics\\x.jpg", "invalid_url", "a path on a computer"),
        ("\\\\server\\x.jpg", "invalid_url", "a path on a computer"),
        ("htps://a.test/x.jpg", "invalid_url", "misspelt"),
        ("ftp://user:secret@a.test/x.jpg", "invalid_url", '"ftp:" is not fetched'),
        ("//user:secret@a.test/x.jpg", "credentials_in_url", "password"),
        ("shop", "invalid_url", "not an http"),
        ("https://drive.google.com/drive/folders/1a", "share_link", "folder of Google Drive"),
        ("https://photos.app.goo.gl/1a", "share_link", "Google Photos"),
        ("https://docs.google.com/document/d/1a/edit", "share_link", "document"),
        ("https://www.dropbox.com/scl/fo/ab/cd?rlkey=k", "share_link", "folder of Dropbox"),
        ("https://1drv.ms/f/s!Ab", "share_link", "folder of OneDrive"),
        ("https://1drv.ms/i/c/ab/cd", "share_link", "page of OneDrive"),
        ("https://a.sharepoint.com/:f:/g/p/T", "share_link", "folder of OneDrive or SharePoint"),
    ],
)
def test_what_can_not_be_fetched_is_called_by_its_kind(entry: str, code: str, says: str) -> None:
    bad = links.read(entry)
    assert isinstance(bad, links.BadLink)
    assert (bad.code.value, says in bad.message) == (code, True), bad.message
    assert "secret" not in bad.message


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
