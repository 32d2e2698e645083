"""The encoding of a CSV is found by its own bytes, wherever they tell it."""

# ruff: noqa: RUF001 - names as people write them
import codecs
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.csv import encodings
from imagebatch.csv.decoding import WINDOW_BYTES, Utf8Source
from imagebatch.csv.ingest import ENCODINGS
from imagebatch.errors import InputRefusedError

HEADER = "Serial Number;Product Name;Input Image Urls\r\n"


def a_file(names: str) -> str:
    """A CSV with a row for each name."""
    rows = (
        f"{row};{name};http://shop.test/{row}.jpg\r\n" for row, name in enumerate(names.split("|"), start=1)
    )
    return HEADER + "".join(rows)


def read(data: bytes, declared: str | None = None, size: int = 7) -> tuple[str, Utf8Source]:
    source = Utf8Source((data[at : at + size] for at in range(0, len(data), size)), declared)
    return b"".join(source).decode(), source


def refusal(chunks: Iterator[bytes], declared: str | None = None) -> tuple[int | None, str]:
    with pytest.raises(InputRefusedError) as caught:
        for _ in Utf8Source(chunks, declared):
            pass
    (problem,) = caught.value.problems
    assert problem.code == "not_utf8"
    return problem.line, problem.message


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("windows-1252", "Café crème|Größe – 5 €"),
        ("windows-1252", "Größe"),
        ("windows-1252", "Señor niño|mañana"),
        ("windows-1252", "São João|ação"),
        ("windows-1252", "Smørrebrød|Ærø|Århus"),
        ("windows-1252", "Rivière première|l’été à la plage, où"),
        ("windows-1252", "20 °C ± 1|5 µm|Brand™"),
        ("windows-1252", "– 5 €"),
        ("windows-1250", "Żółta koszula|Łódź|spodnie dżinsowe"),
        ("windows-1250", "Příliš žluťoučký kůň"),
        ("windows-1250", "Kabát férfi|Női cipő"),
        ("windows-1251", "Красная рубашка|Синие брюки|Привет мир"),
        ("windows-1253", "Ελληνικά παπούτσια|Κόκκινο"),
        ("macintosh", "Größe Straße|Mädchen"),
        ("shift_jis", "日本"),
        ("shift_jis", "日本語のシャツ|赤いシャツ"),
        ("gb18030", "红色衬衫|蓝色裤子"),
        ("euc-kr", "한국어 셔츠"),
        ("big5", "紅色襯衫|藍色褲子"),
    ],
)
def test_a_files_encoding_is_found_without_a_word(encoding: str, names: str) -> None:
    text, source = read(a_file(names).encode(encodings.codec(encoding)))
    assert (text, source.guessed, source.encoding) == (a_file(names), encoding, encoding)
    assert not source.is_utf8


@pytest.mark.parametrize(
    ("encoding", "names"),
    [("cp1254", "Kırmızı elbise"), ("cp1252", "Þórður ðað"), ("cp437", "Größe")],
)  # fmt: skip
def test_a_doubtful_guess_is_refused_with_the_two_best(encoding: str, names: str) -> None:
    line, message = refusal(iter([a_file(names).encode(encoding)]))
    assert line == 2
    named = message.partition("it may be ")[2].partition(";")[0].split(" or ")
    assert len(named) == 2
    assert set(named) <= {*ENCODINGS}


@pytest.mark.parametrize(
    ("data", "has_bom", "encoding"),
    [
        (a_file("Café").encode(), False, "utf-8"),
        (a_file("Café").encode("utf-8-sig"), True, "utf-8"),
        (codecs.BOM_UTF8 * 2 + a_file("Café").encode(), True, "utf-8"),
        (a_file("Café").encode("utf-16"), True, "utf-16"),
        (codecs.BOM_UTF16_BE + a_file("Café").encode("utf-16-be"), True, "utf-16"),
        (a_file("Café").encode("utf-16-le"), False, "utf-16"),
        (a_file("Café").encode("utf-16-be"), False, "utf-16"),
        (a_file("plain").encode(), False, "utf-8"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_marks_and_unicode_are_plain(data: bytes, has_bom: bool, encoding: str, size: int) -> None:
    text, source = read(data, size=size)
    assert text in {a_file("Café"), a_file("plain")}
    assert (source.has_bom, source.encoding) == (has_bom, encoding)


def test_the_first_other_byte_may_come_after_any_number_of_ascii_ones() -> None:
    """Three windows of ASCII, then Western names: the same encoding holds to the end."""
    ascii_rows = "9;plain;http://shop.test/x.jpg\r\n" * (3 * WINDOW_BYTES // 30)
    text = HEADER + ascii_rows + "1;Café crème;http://x\r\n" * 3 + ascii_rows + "2;Größe;http://y\r\n"
    found, source = read(text.encode("windows-1252"), size=65_536)
    assert found == text
    assert source.guessed == "windows-1252"


def test_a_byte_that_contradicts_the_window_is_refused_with_its_line() -> None:
    filler = "9;Größe;http://shop.test/x.jpg\r\n" * (2 * WINDOW_BYTES // 30)
    data = (HEADER + filler).encode("windows-1252") + b"9;\x81;http://x\r\n"
    line, message = refusal(data[at : at + 65_536] for at in range(0, len(data), 65_536))
    assert line == filler.count("\n") + 2
    assert "0x81 is not windows-1252" in message


def test_a_mixed_file_is_refused_and_not_garbled() -> None:
    data = (a_file("Größe|Ärmel|Öl") + "9;Caf").encode() + b"\xe9;http://x\r\n"
    line, message = refusal(iter([data]))
    assert line == 5
    assert "utf-8 or " in message


@pytest.mark.parametrize(("declared", "data"), [("utf-8", "Café".encode("utf-16")), ("shift_jis", b"a\x81")])
def test_what_is_declared_wins(declared: str, data: bytes) -> None:
    refusal(iter([data]), declared)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_offered_encoding_can_be_declared(name: str) -> None:
    data = a_file("plain").encode(encodings.codec(name))
    assert read(data, name.upper())[0] == a_file("plain")


@given(st.binary(max_size=400), st.sampled_from([None, *ENCODINGS]), st.integers(1, 50))
def test_any_bytes_are_text_or_refused(data: bytes, declared: str | None, size: int) -> None:
    try:
        b"".join(Utf8Source((data[at : at + size] for at in range(0, len(data), size)), declared))
    except InputRefusedError as error:
        assert error.problems[0].code in {"not_utf8", "not_csv"}
