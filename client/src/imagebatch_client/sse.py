"""Server-Sent Events, read as the bytes come (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Lines end with LF, CRLF or CR, wherever chunks are cut; an event ends with an empty line. Does no I/O.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_EVENT_CHARS = 4 << 20
_LINE_END = re.compile(r"\r\n|\n|\r")


class TooLongError(ValueError):
    """An event is longer than any of ours."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the last that the stream named."""

    name: str
    data: str
    id: str = ""


class EventReader:
    """Reads one stream."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._is_begun = False
        self._name = ""
        self._data: list[str] = []
        self.last_id = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that end in this chunk. Raises TooLongError."""
        for line in self._lines(self._decoder.decode(chunk)):
            event = self._take(line)
            if event is not None:
                yield event
        if len(self._text) + sum(map(len, self._data)) > MAX_EVENT_CHARS:
            raise TooLongError(f"an event has more than {MAX_EVENT_CHARS} characters")

    def _lines(self, text: str) -> Iterator[str]:
        if text and not self._is_begun:
            self._is_begun = True
            text = text.removeprefix("\ufeff")
        self._text += text
        start = 0
        for end in _LINE_END.finditer(self._text):
            if end[0] == "\r" and end.end() == len(self._text):
                break  # an LF may follow in the next chunk
            yield self._text[start : end.start()]
            start = end.end()
        self._text = self._text[start:]

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        return None  # a comment, which begins with a colon, or a field that says nothing to us

    def _end(self) -> Event | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        return Event(name, "\n".join(data), self.last_id) if data else None
