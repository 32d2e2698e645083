"""The head of an answer, mended as browsers do before h11 reads it.

Hosts write header lines that are none: a warning of PHP, a blank in a name, a line without a colon. h11
refuses the whole answer for them. Here such a line is left out, for it says nothing about where the body
ends. A line that may say it (Content-Length, Transfer-Encoding) is never mended and never left out: two who
read it differently would see two different answers (RFC 9112 sections 5.1 and 11.1); h11 refuses it then.
"""

import re

MAX_HEAD_BYTES = 64 * 1024
"""Status line and headers of an answer."""

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"http/1\.", re.IGNORECASE)
_FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9a-zA-Z]+)([ \t]*):(.*)", re.DOTALL)
_FRAMING = re.compile(rb"content.{0,3}length|transfer.{0,3}encoding", re.IGNORECASE | re.DOTALL)
_NEVER_TOUCHED = re.compile(rb"[\x00\r]")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")


class HeadBuffer:
    """Collects one head; then `take` gives it, mended, and what came behind it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._end = -1

    @property
    def is_complete(self) -> bool:
        return self._end >= 0

    @property
    def is_too_long(self) -> bool:
        return (self._end if self.is_complete else len(self._data)) > MAX_HEAD_BYTES

    def add(self, data: bytes | memoryview) -> None:
        seen = max(0, len(self._data) - 2)
        self._data += data
        found = None if self.is_complete else _END.search(self._data, seen)
        if found is not None:
            self._end = found.end()

    def take(self) -> "tuple[bytes, bytes]":
        """The head and the rest; an incomplete head as it is, and nothing behind it."""
        data, end = bytes(self._data), self._end
        self._data.clear()
        self._end = -1
        return (mended(data[:end]), data[end:]) if end >= 0 else (data, b"")


def mended(head: bytes) -> bytes:
    """A head without the lines that are no header fields."""
    first, *lines = head.split(b"\n")
    kept, is_dropped = (
        [_STATUS.sub(b"HTTP/1.", first, count=1)],
        True,
    )  # a first line has nothing to go on with
    for line in lines:
        if line[:1] in {b" ", b"\t"} and line.strip():  # goes on with the line before it (RFC 9112, 5.2)
            is_dropped = is_dropped and not _FRAMING.search(line)
            mended_line = None if is_dropped else line
        else:
            mended_line = _mended_line(line)
            is_dropped = mended_line is None
        if mended_line is not None:
            kept.append(mended_line)
    return b"\n".join(kept)


def _mended_line(line: bytes) -> bytes | None:
    """The line as h11 reads it, or as it is when that must be refused; None for one that is left out."""
    text = line.removesuffix(b"\r")
    if not text or _NEVER_TOUCHED.search(text):
        return line
    field = _FIELD.fullmatch(text)
    if field is None:
        name = text.partition(b":")[0]
        return line if _FRAMING.search(name) else None
    name, blank, value = field.groups()
    if _FRAMING.search(name):
        return line
    if _CONTROL.search(value):
        return None
    return name + b":" + value + line[len(text) :] if blank else line
