"""The text of a CSV, in lines or in runs of plain rows.

A plain row is canonical as it stands: `csv.reader` would find three cells in it which `rows.record` would
write as they were, and its links are plain (`links.plain`). One regular expression says so, for many rows at
a time; what it does not match, ingest reads line by line. Nearly all rows of nearly all files match.
"""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from imagebatch.csv import rows
from imagebatch.links import plain

BLOCK_BYTES = 1 << 16

_BARE = r'[^\x00-\x20",\x7f][^\x00-\x1f",\x7f]*+'
_QUOTED = r'"[^\x00-\x1f",\x7f]*+,[^\x00-\x1f"\x7f]*+"'
_CELL = f"(?:{_BARE}|{_QUOTED}|)"
_LINKS = f'(?:{plain.LINK}((?:[;|] ?{plain.LINK})*+)|"{plain.LINK}((?:, ?{plain.LINK})++)")'
"""Quoted exactly where a comma asks for it. The groups hold what follows the first link."""

_QUOTED_LINKS = 2

_ROWS = {end: re.compile(f"{_CELL},{_CELL},{_LINKS}{end}|") for end in ("\n", "\r\n")}
"""Matches the empty text before another kind of row; else the search would go on to the next plain row."""

_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\n|\r)")
_CUT_CHARS = rows.MAX_RECORD_CHARS + 1


class Run(NamedTuple):
    """Plain rows that follow each other: their canonical text, the bytes and the images of each."""

    text: str
    sizes: list[int]
    images: list[int]


_NO_RUN = Run("", [], [])


class Text:
    r"""A CSV that comes in chunks of UTF-8 (any boundaries), in bounded memory.

    Iterated, it gives lines with their ends (`\n`, `\r\n`, `\r`), each cut at `MAX_RECORD_CHARS` + 1
    characters. Raises UnicodeDecodeError behind the last line that can be read; errors of `chunks` pass.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._source = rows.chunk_reader(chunks, BLOCK_BYTES)
        self._decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder("utf-8")(), translate=False
        )  # holds a `\r` back until it is known what follows
        self._text = ""
        self._at = 0
        self._has_more = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        found = _LINE.match(self._text, self._at, self._at + _CUT_CHARS)
        line = found.group() if found is not None else self._unfinished()
        if not line:
            raise StopIteration
        self._at += len(line)
        return line

    def _unfinished(self) -> str:
        """A line that is not in memory yet, has no end, or is too long."""
        while len(self._text) - self._at < _CUT_CHARS and self._read():
            if found := _LINE.match(self._text, self._at, self._at + _CUT_CHARS):
                return found.group()
        return self._text[self._at : self._at + _CUT_CHARS]

    def plain_run(self, line_end: str, at_most: int) -> Run:
        r"""The plain rows that come next and are in memory; none before a row of another kind.

        `line_end` is `\n` or `\r\n`, as rows end. The canonical text ends them with `\n`.
        """
        pattern = _ROWS[line_end]
        ends, images = [self._at], []
        for found in islice(pattern.finditer(self._text, self._at), at_most):
            group = found.lastindex
            if group is None:
                break
            ends.append(found.end())
            more = found[group]
            images.append(1 + (more.count(",") if group == _QUOTED_LINKS else _separators(more)))
        if not images:
            return _NO_RUN
        start, self._at = self._at, ends[-1]
        text = self._text[start : self._at]
        sizes = _sizes(self._text, ends, len(line_end) - 1)
        return Run(text if line_end == "\n" else text.replace(line_end, "\n"), sizes, images)

    def _read(self) -> bool:
        """Read a block; False when there is none."""
        if not self._has_more:
            return False
        block = self._source.read(BLOCK_BYTES)
        self._has_more = bool(block)
        self._text = self._text[self._at :] + self._decoder.decode(block, final=not block)
        self._at = 0
        return True


def _separators(links: str) -> int:
    return links.count(";") + links.count("|") if links else 0


def _sizes(text: str, ends: list[int], surplus: int) -> list[int]:
    """Bytes from one end to the next, less `surplus`: what each row's end has beyond the canonical one."""
    if text.isascii():
        return [end - start - surplus for start, end in pairwise(ends)]
    return [len(text[start:end].encode()) - surplus for start, end in pairwise(ends)]
