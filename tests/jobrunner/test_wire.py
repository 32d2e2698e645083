"""What a parent believes of a codec process's answer: nothing that it has not checked."""

import json
from typing import Any

import pytest

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import wire
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

GOOD = Compressed(
    data=b"bytes",
    format="webp",
    width=3,
    height=4,
    source_format="png",
    source_quality=100,
    quality=50,
    quality_basis="exact",
    notes=("flattened",),
)


def test_answers_and_requests_survive_the_pipe() -> None:
    terms = wire.Terms(Compression(quality="70", max_width=9), PictureLimits(5, 6, 7, 8))
    assert wire.read_answer(wire.success(GOOD), b"bytes") == GOOD
    assert wire.read_terms(json.loads(json.dumps(wire.request(1, terms)))) == terms
    assert wire.read_terms(wire.request(1)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": "exe"},
        {"format": ["webp"]},
        {"width": 0},
        {"width": "3"},
        {"height": True},
        {"quality": 101},
        {"quality_basis": "certain"},
        {"notes": ["<script>"]},
        {"notes": [{}]},
        {"notes": None},
    ],
    ids=str,
)
def test_an_answer_that_can_not_be_true_is_not_believed(change: dict[str, Any]) -> None:
    with pytest.raises(wire.WireError):
        wire.read_answer({**wire.success(GOOD), **change}, b"bytes")


def test_a_success_without_bytes_is_none() -> None:
    with pytest.raises(wire.WireError):
        wire.read_answer(wire.success(GOOD), b"")


def test_told_errors_are_of_the_closed_set_and_printable() -> None:
    with pytest.raises(CodecError) as caught:
        wire.read_answer({"error": "corrupt", "message": "bad\x1b[31m\nline"}, b"")
    assert (caught.value.code, caught.value.message) == (ErrorCode.CORRUPT, "bad [31m line")
    with pytest.raises(wire.WireError):
        wire.read_answer({"error": "made_up", "message": ""}, b"")


def test_frames_that_are_too_long_are_not_waited_for() -> None:
    with pytest.raises(wire.WireError):
        wire.lengths(wire.LENGTHS.pack(10, wire.MAX_BODY_BYTES + 1))


@pytest.mark.parametrize("text", [b"no json", b"[]", b"\xff"])
def test_headers_are_json_objects(text: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.header(text)
