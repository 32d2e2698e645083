"""The head of an answer: mended before h11 reads it, checked against limits after that. Used by `connection`.

Hosts send header lines that are no header fields: a warning of PHP, a name with a blank, a line without a
colon. h11 refuses the whole answer for one of them; browsers ignore the line, and so does `mended`. It never
mends or drops a line that may say where the body ends (Content-Length, Transfer-Encoding): two programs that
read such a line differently see two different answers (RFC 9112 sections 5.1 and 11.1). h11 refuses it.
"""

import re

import h11
import httpx

MAX_HEAD_BYTES = 64 * 1024
"""Status line and headers of an answer, or trailers. Python's http.client allows as much in one line."""

MAX_HEADERS = 256
"""Header fields of an answer. Python's http.client allows 100, aiohttp 128."""

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"http/1\.", re.IGNORECASE)
_FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9a-zA-Z]+)([ \t]*):(.*)", re.DOTALL)
_FRAMING = re.compile(rb"content.{0,3}length|transfer.{0,3}encoding", re.IGNORECASE | re.DOTALL)
_NEVER_TOUCHED = re.compile(rb"[\x00\r]")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")


class HeadBuffer:
    """Collects the bytes of one head. `take` returns it mended, and the bytes that came behind it."""

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
        """The mended head and what is behind it. A head without an end is returned as it is, with b""."""
        data, end = bytes(self._data), self._end
        self._data.clear()
        self._end = -1
        return (mended(data[:end]), data[end:]) if end >= 0 else (data, b"")


def mended(head: bytes) -> bytes:
    """A head without the lines that are no header fields."""
    status, *lines = head.split(b"\n")
    kept = [_STATUS.sub(b"HTTP/1.", status, count=1)]
    is_dropped = True  # a line that continues the status line is no field either
    for line in lines:
        if line[:1] in {b" ", b"\t"} and line.strip():  # continues the line before it (RFC 9112 section 5.2)
            is_dropped = is_dropped and not _FRAMING.search(line)
            mended_line = None if is_dropped else line
        else:
            mended_line = _mended_line(line)
            is_dropped = mended_line is None
        if mended_line is not None:
            kept.append(mended_line)
    return b"\n".join(kept)


def _mended_line(line: bytes) -> bytes | None:
    """The field without a blank before its colon; None drops the line. What h11 must judge is left alone."""
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


def check_head(head: h11.Response) -> None:
    """Raise RemoteProtocolError for a head that is too large, or that says twice where the body ends."""
    check_fields(head)
    names = {name for name, _ in head.headers}
    if b"transfer-encoding" in names and b"content-length" in names:
        # Two programs that prefer different ones read two different answers (RFC 9112 section 6.3).
        raise httpx.RemoteProtocolError("both Transfer-Encoding and Content-Length")


def check_fields(head: h11.Response | h11.InformationalResponse) -> None:
    if len(head.headers) > MAX_HEADERS:
        raise httpx.RemoteProtocolError(f"more than {MAX_HEADERS} headers")
    if sum(len(name) + len(value) for name, value in head.headers) > MAX_HEAD_BYTES:
        raise httpx.RemoteProtocolError(f"more than {MAX_HEAD_BYTES} bytes of headers")


def says_close(head: h11.Response) -> bool:
    """Whether the connection ends with this answer (RFC 9112 section 9.3)."""
    options = b",".join(value for name, value in head.headers if name == b"connection").lower()
    return head.http_version < b"1.1" or b"close" in {option.strip() for option in options.split(b",")}
