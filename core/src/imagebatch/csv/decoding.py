"""The bytes of a CSV as UTF-8, whatever it was, in bounded memory.

A declared encoding wins. Else a byte order mark decides, then zeros in every second byte (UTF-16); else ASCII
passes until the first other byte, wherever it comes: all encodings have ASCII in common, so the file can be
judged there, by the next MiB. So one encoding holds from the first to the last byte of a file, even of many
GB. `imagebatch.csv.ingest` reads by it.
"""

import codecs
from collections.abc import Iterable, Iterator

from imagebatch.csv import encodings
from imagebatch.errors import InputRefusedError

WINDOW_BYTES = 1 << 20
START_BYTES = 4096


class Utf8Source:
    """Iterate it once, for UTF-8. Raises InputRefusedError for bytes that can't be read, with their line.

    Once the first line is there, `encoding` is what was declared or a mark said, and `has_bom` whether there
    was one. `guessed` is the encoding that was found without either, once it was needed.
    """

    def __init__(self, chunks: Iterable[bytes], declared: str | None = None) -> None:
        self._chunks = iter(chunks)
        self._declared = encodings.known(declared) if declared else None
        self._lines = 0
        self.encoding = self._declared or "utf-8"
        self.guessed: str | None = None
        self.has_bom = False

    @property
    def is_utf8(self) -> bool:
        return self.encoding == "utf-8"

    def __iter__(self) -> Iterator[bytes]:
        start = self._read(START_BYTES)
        if start.startswith(b"PK\x03\x04"):
            raise InputRefusedError.of("not_csv", "the file is an Excel workbook or a ZIP; save as CSV UTF-8")
        found = self._decided_by(start)
        if found is None:
            yield from self._until_judged(start)
        elif found == "utf-8":
            yield from self._as_it_is(start)
        else:
            yield from self._transcoded(start, found)

    def _read(self, size: int) -> bytes:
        """At least so many bytes, or all that is left."""
        parts, length = [], 0
        while length < size and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            length += len(chunk)
        return b"".join(parts)

    def _decided_by(self, start: bytes) -> str | None:
        """The codec to read by, when the file's start or the user says it; None when neither does."""
        marked = encodings.of_bom(start)
        if marked == "utf-32":
            raise InputRefusedError.of("not_utf8", "the file is UTF-32; save as CSV UTF-8", 1)
        self.has_bom = marked is not None and self._declared in {None, marked}
        if self._declared == "utf-16":
            return "utf-16" if marked == "utf-16" else encodings.unmarked_utf16(start) or "utf-16"
        if self._declared is not None:
            if self.is_utf8 and marked == "utf-16":
                raise InputRefusedError.of("not_utf8", "the file is UTF-16, not UTF-8", 1)
            return encodings.codec(self._declared)
        if marked is not None:
            self.encoding = marked
            return marked
        unmarked = encodings.unmarked_utf16(start)
        if unmarked is not None:
            self.encoding = self.guessed = "utf-16"
        return unmarked

    # -- as UTF-8 ------------------------------------------------------------------------------------

    def _as_it_is(self, start: bytes) -> Iterator[bytes]:
        """Whoever decodes these bytes finds what is wrong in them."""
        while start.startswith(codecs.BOM_UTF8):  # two, where a program put one before a file that had one
            start = start.removeprefix(codecs.BOM_UTF8)
        yield start
        yield from self._chunks

    def _until_judged(self, start: bytes) -> Iterator[bytes]:
        chunk: bytes | None = start
        while chunk is not None:
            if not chunk.isascii():
                yield from self._judged(chunk)
                return
            self._lines += chunk.count(b"\n")
            yield chunk
            chunk = next(self._chunks, None)

    def _judged(self, first: bytes) -> Iterator[bytes]:
        more = self._read(max(0, WINDOW_BYTES - len(first)))
        window = first + more
        is_whole = len(window) < WINDOW_BYTES
        if _is_utf8(window, is_whole=is_whole):
            yield window
            yield from self._chunks
            return
        name = self._guess(window, is_whole=is_whole)
        self.encoding = self.guessed = name
        yield from self._transcoded(window, encodings.codec(name))

    def _guess(self, window: bytes, *, is_whole: bool) -> str:
        at = _first_not_utf8(window)
        found = encodings.guess(window, is_whole=is_whole)
        if found.is_sure and not encodings.is_mostly_utf8(window):
            return found.names[0]
        names = ("utf-8", *found.names[:1]) if encodings.is_mostly_utf8(window) else found.names
        line = self._lines + 1 + window.count(b"\n", 0, at)
        raise not_readable(window[at : at + 1], "UTF-8", line, names)

    # -- from another encoding -------------------------------------------------------------------------

    def _transcoded(self, start: bytes, codec: str) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(codec)("strict")
        chunk: bytes | None = start
        while True:
            try:
                text = decoder.decode(chunk or b"", final=chunk is None)
            except UnicodeDecodeError as error:
                line = self._lines + 1 + _text_lines(error.object[: error.start], codec)
                raise not_readable(error.object[error.start : error.start + 1], self.encoding, line) from None
            except UnicodeError:  # UTF-16 without its mark: nothing shows its byte order
                raise InputRefusedError.of("not_utf8", "the file is not UTF-16", self._lines + 1) from None
            self._lines += text.count("\n")
            yield text.encode("utf-8", "surrogatepass")
            if chunk is None:
                return
            chunk = next(self._chunks, None)


def not_readable(
    bad: bytes, encoding: str, line: int | None, candidates: tuple[str, ...] = ()
) -> InputRefusedError:
    """The refusal for a byte that is not of the encoding. Each edge adds its own field for the encoding."""
    maybe = f"; it may be {' or '.join(candidates)}" if candidates else ""
    return InputRefusedError.of(
        "not_utf8",
        f"byte 0x{bad.hex()} is not {encoding}{maybe}; save as CSV UTF-8, or declare the encoding",
        line,
    )


def _is_utf8(window: bytes, *, is_whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(window, final=is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _first_not_utf8(window: bytes) -> int:
    try:
        window.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _text_lines(before: bytes, codec: str) -> int:
    return before.decode(codec, "replace").count("\n")
