"""Which encodings a CSV may have, and which one a file has when it does not say so.

`guess` reads a piece of a file in each offered encoding that can read it, and asks how much of it is text
that people write: letters of one language's alphabet, in words, capitals in front. Detectors for documents
need sentences; a CSV has short names, and a header that is known.
"""

# ruff: noqa: RUF001 - letters that look like others are what this is about
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from imagebatch.errors import InputRefusedError

ENCODINGS = (
    "utf-8", "utf-16", "windows-1252", "windows-1250", "windows-1251", "windows-1253", "windows-1254",
    "macintosh", "iso-8859-1", "iso-8859-15", "shift_jis", "gb18030", "big5", "euc-kr",
)  # fmt: skip

MAX_COST = 0.4
"""From 0 to 1: an encoding that costs more does not fit."""

MARGIN = 0.1
"""A guess whose cost is not lower by this much than the next one's is doubtful."""

_ONE_LETTER_COST = 0.4
"""One letter alone in a whole file is no evidence for a rare encoding."""

_SAMPLE_BYTES = 16 * 1024

_LATIN = "éèêàâçñäöüßáóåøôîûëïæœíúìòù"
_ALPHABETS: dict[str, tuple[str, ...]] = {
    "windows-1252": (
        _LATIN,
        "äöüßé",
        "àâæçéèêëîïôœùûüÿ",
        "áéíñóúü",
        "áâãàçéêíóôõúü",
        "åäöæøéü",
        "áðéíóúýþæö",
    ),
    "windows-1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž"),
    "windows-1251": ("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўђјљњћџ",),
    "windows-1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
    "windows-1254": ("çğıöşüâîûi",),
}
_ALPHABETS["macintosh"] = _ALPHABETS["windows-1252"]
_PRIORS = {
    "windows-1252": 0.0,
    "windows-1251": 0.05,
    "windows-1253": 0.05,
    "windows-1250": 0.12,
    "windows-1254": 0.12,
    "macintosh": 0.15,
}
"""What a rarer encoding costs more, so that without other evidence the commonest wins. Encodings of several
bytes prove themselves.
"""

_RARE = {
    "windows-1251": "фхцчшщъьэюёяёіїєґўђјљњћџжйз",
    "windows-1253": "ξψζφχθβδγϊϋΐΰύώ",
    "windows-1252": "ðþý",
}
"""Letters that texts have few of. Each costs something, so that one alphabet is not taken for another."""

_MULTIBYTE = ("shift_jis", "gb18030", "big5", "euc-kr")
_SIGNS = frozenset("\u00a0€£¥$¢§©®™°±²³¹¼½¾×÷µ·•…–—‘’‚“”„‹›«»¿¡ªº′″№´`¨")
_WORD = re.compile(r"[^\W\d_]+")
_WRONG_ACCENT = re.compile(r"(?<![^\W\d_])è|è(?=[aeiouyèéáíóúý])|[ìòù](?=[^\W\d_])|õ(?!e)", re.IGNORECASE)
"""Accents where Western languages have none: Czech č, ě, ň, ů and Hungarian ő read as windows-1252."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The best encodings, the likeliest first; `is_sure` when the first may be taken."""

    names: tuple[str, ...]
    is_sure: bool


def known(name: str) -> str:
    """Our name of a declared encoding. Raises InputRefusedError for one that is not offered."""
    for offered in ENCODINGS:
        try:
            if codecs.lookup(name.strip()) in {codecs.lookup(offered), codecs.lookup(codec(offered))}:
                return offered
        except (LookupError, ValueError):
            break
    raise InputRefusedError.of(
        "unknown_encoding", f"{name[:40]!r} is not an encoding offered here: {', '.join(ENCODINGS)}"
    )


def of_bom(start: bytes) -> str | None:
    """The encoding that a byte order mark names. UTF-32 has marks too, and is not offered."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8"
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None


def unmarked_utf16(start: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` for text whose every second byte is 0, as that of an ASCII header is."""
    pairs = len(start) // 2
    if pairs < 4:
        return None
    even, odd = start[0 : 2 * pairs : 2], start[1 : 2 * pairs : 2]
    if odd.count(0) > 0.7 * pairs and not even.count(0):
        return "utf-16-le"
    return "utf-16-be" if even.count(0) > 0.7 * pairs and not odd.count(0) else None


def guess(window: bytes, *, is_whole: bool) -> Guess:
    """What the lines with other bytes than ASCII are. Without `is_whole`, a cut last line does not count."""
    sample = _sample(window, is_whole=is_whole)
    costs = sorted((cost, name) for name, cost in _costs(sample))
    if not costs:
        return Guess((), is_sure=False)
    (cost, name), text = costs[0], _decoded(sample, costs[0][1])
    rivals = [(its, other) for its, other in costs if _decoded(sample, other) != text]
    is_alone = not rivals or rivals[0][0] - cost >= MARGIN - 1e-9
    names = (name, *(other for _, other in rivals[:1]))
    return Guess(names, is_sure=cost <= MAX_COST and is_alone)


def is_mostly_utf8(window: bytes) -> bool:
    """Whether bytes that are not all UTF-8 have more characters of it than bytes that are none."""
    text = window.decode("utf-8", "surrogateescape")
    wrong = sum("\udc80" <= character <= "\udcff" for character in text)
    right = sum(character > "\x7f" for character in text) - wrong
    return right > wrong


def _sample(window: bytes, *, is_whole: bool) -> bytes:
    lines = window.split(b"\n")
    if not is_whole and len(lines) > 1:
        lines.pop()
    sample, size = [], 0
    for line in lines:
        if not line.isascii() and size < _SAMPLE_BYTES:
            sample.append(line)
            size += len(line)
    return b"\n".join(sample)


def _costs(sample: bytes) -> Iterator[tuple[str, float]]:
    """The encodings that can read the sample, and what each costs, from 0 to 1."""
    for name in _ALPHABETS:
        text = _decoded(sample, name)
        if text is not None:
            yield name, _single_byte_cost(text, name) + _PRIORS[name]
    for name in _MULTIBYTE:
        text = _decoded(sample, name)
        if text is not None:
            yield name, _multibyte_cost(text, name)


def _decoded(sample: bytes, name: str) -> str | None:
    try:
        return sample.decode(codec(name))
    except UnicodeDecodeError:
        return None


def codec(name: str) -> str:
    """Python's name of an encoding; those of Japan and Korea are Windows' own, with more characters."""
    return {"macintosh": "mac_roman", "shift_jis": "cp932", "euc-kr": "cp949"}.get(name, name)


def _single_byte_cost(text: str, name: str) -> float:
    """The mean cost of a character that is not ASCII, by the alphabet that fits best."""
    odd = [character for character in text if character > "\x7f"]
    letters = [character for character in odd if character.isalpha() and character not in _SIGNS]
    signs = [character for character in odd if not character.isalpha() or character in _SIGNS]
    rare = _RARE.get(name, "")
    by_alphabet = min(
        sum(_letter_cost(one, alphabet, rare) for one in letters) for alphabet in _ALPHABETS[name]
    )
    wrong_signs = sum(sign not in _SIGNS for sign in signs) + len(_SIGN_IN_WORD.findall(text))
    words = sum(_word_cost(word, is_western=name == "windows-1252") for word in _WORD.findall(text))
    too_little = _ONE_LETTER_COST if len(odd) == 1 and name != "windows-1252" else 0.0
    return min(1.0, (by_alphabet + wrong_signs + words) / max(1, len(odd)) + too_little)


_SIGN_IN_WORD = re.compile(
    r"(?<=[^\W\d_])(?:[^\x00-\x7f\w\u2019\u2018]|[¹²³])(?=[^\W\d_])|[£¥¢¤](?=[^\W\d_])"
)


def _letter_cost(letter: str, alphabet: str, rare: str) -> float:
    lowered = letter.lower()
    if lowered in alphabet:
        return 0.3 if lowered in rare else 0.0
    return 0.25 if lowered in _LATIN else 0.7


_ALONE = frozenset("àáâèéêòóôåæøöőíияоуαηο")
"""What words of one letter are made of."""


def _word_cost(word: str, *, is_western: bool) -> float:
    """The cost of a word nobody writes: capitals after small letters, accents in rows, two scripts in one."""
    odd = [character for character in word if character > "\x7f"]
    if not odd:
        return 0.0
    pairs = pairwise(word)
    cost = sum(second > "\x7f" and second.isupper() and first.islower() for first, second in pairs)
    cost += len(word) == 1 and odd[0].lower() not in _ALONE
    is_foreign = min(odd) >= "\u0370"
    if is_foreign and len(odd) < len(word):
        cost += len(odd)
    if not is_foreign and len(odd) > 2 + (not is_western) and len(odd) > 0.7 * len(word):
        cost += len(odd)
    return cost + (len(_WRONG_ACCENT.findall(word)) if is_western else 0)


_LONE_IN_WORD = re.compile(r"(?<=[a-z])[\u3400-\uffff](?=[a-z])")
_LONE = re.compile(r"(?<![\u3040-\uffff])[\u3400-\u9fff](?![\u3040-\uffff])")


def _multibyte_cost(text: str, name: str) -> float:
    """The mean cost of a character: kana and common ideographs are cheap, lone ones within a word are not."""
    odd = [character for character in text if character > "\x7f"]
    cost = sum(_ideograph_cost(character, name) for character in odd)
    cost += len(_LONE_IN_WORD.findall(text)) + 0.3 * len(_LONE.findall(text))
    return min(1.0, cost / max(1, len(odd)) + 0.02)


def _ideograph_cost(character: str, name: str) -> float:
    is_kana_or_mark = "\u3000" <= character <= "\u30ff" or "\uff01" <= character <= "\uff5e"
    if is_kana_or_mark:
        return 0.0
    if "\u4e00" <= character <= "\u9fff":
        return 0.1 if _is_common(character, name) else 0.4
    if "\uac00" <= character <= "\ud7a3":
        return 0.0 if _is_common(character, name) else 0.5
    return 0.1 if character in _SIGNS else 0.8


@cache
def _is_common(character: str, name: str) -> bool:
    """Whether it is of the first level of GB 2312, JIS, Big5 or KS X 1001: those of daily use."""
    by, first, last = _FIRST_LEVEL[name]
    try:
        return first <= character.encode(by)[0] <= last
    except UnicodeEncodeError:
        return False


_FIRST_LEVEL = {
    "gb18030": ("gb2312", 0xB0, 0xD7),
    "shift_jis": ("cp932", 0x88, 0x97),
    "big5": ("big5", 0xA4, 0xC6),
    "euc-kr": ("euc_kr", 0xB0, 0xC8),
}
