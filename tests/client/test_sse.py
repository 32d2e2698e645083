"""The reader of Server-Sent Events."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_client.sse import MAX_EVENT_CHARS, Event, EventReader, TooLongError


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event("message", "a")]),
        (b"event: status\nid: 7\ndata: {}\n\n", [Event("status", "{}", "7")]),
        (b"data: a\ndata: b\n\n", [Event("message", "a\nb")]),
        (b"data:a\n\ndata:  b\n\n", [Event("message", "a"), Event("message", " b")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [Event("message", "a", "7"), Event("message", "b", "7")]),
        (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [Event("message", "a", "7"), Event("message", "b", "")]),
        (b"id: a\0b\ndata: a\n\n", [Event("message", "a", "")]),
        (b": a comment\n\nevent: status\n\n", []),
        (b"retry: 10\nnonsense\ndata\n\n", [Event("message", "")]),
        (b"data: not ended\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("message", "a")]),
        ("data: ✓\n\n".encode(), [Event("message", "✓")]),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, events: list[Event]) -> None:
    assert read(stream) == events


STREAM = "\ufeff: hello\r\nevent: status\rid: 1\ndata: ü✓\r\n\r\ndata: b\r\rdata: c\n\n".encode()


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_it_does_not_matter_where_the_stream_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in itertools.pairwise(ends)]
    assert read(*chunks) == [
        Event("status", "ü✓", "1"),
        Event("message", "b", "1"),
        Event("message", "c", "1"),
    ]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_stream(data: bytes) -> None:
    read(data)


def test_an_event_without_an_end_is_given_up() -> None:
    reader = EventReader()
    chunk = b"data: " + b"x" * 65_536 + b"\n"
    for _ in range(MAX_EVENT_CHARS // 65_536 - 1):
        assert list(reader.feed(chunk)) == []
    with pytest.raises(TooLongError):
        list(reader.feed(chunk * 2))
