"""A codec process: reads images from standard input, writes compressed ones to standard output.

Started by `codec.pool` as `python -m imagebatch_jobrunner.decoder`. It decodes what strangers made, so it
gives up what it does not need before the first image: memory, files, core dumps, priority. It ends when
its standard input does, which is also how the death of its parent ends it.
"""

import argparse
import math
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import wire
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder import errors, heap
from imagebatch_jobrunner.decoder.compress import Admit, compress_image
from imagebatch_jobrunner.decoder.jpeg import requantiser
from imagebatch_jobrunner.errors import CodecError

_OPEN_FILES = 32


def main() -> None:
    arguments = _arguments()
    requests, answers = _pipes()
    _give_up_rights(arguments.memory_bytes, arguments.nice)
    _write(answers, wire.READY)
    terms = None
    while (frame := _read(requests)) is not None:
        _alarm(arguments.seconds)
        header, body = frame
        terms = wire.read_terms(header) or terms
        assert terms is not None
        admission = _Admission(requests, answers, arguments.seconds, header["granted_bytes"])
        _answer(answers, terms, body, admission)
        _alarm(0)
        heap.give_back_after(admission.most_bytes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="imagebatch_jobrunner.decoder", description=__doc__)
    parser.add_argument("--version", action="version", version=requantiser.about())
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument(
        "--seconds", type=float, required=True, help="ends the process if one image takes longer"
    )
    parser.add_argument("--nice", type=int, required=True)
    return parser.parse_args()


def _pipes() -> "tuple[BinaryIO, BinaryIO]":
    """Standard input and output for frames alone: what a library prints goes to standard error."""
    requests = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return requests, answers


def _give_up_rights(memory_bytes: int, nice: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    if hasattr(os, "nice"):
        os.nice(nice)
    try:
        import resource  # noqa: PLC0415 - Unix only
    except ImportError:
        return
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        _lower(resource, limit, value)


def _lower(resource: Any, limit: int, value: int) -> None:  # noqa: ANN401 - a module that not every system has
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with suppress(OSError, ValueError):  # macOS knows RLIMIT_AS but does not set it
        resource.setrlimit(limit, (value, value))


def _read(requests: BinaryIO) -> "tuple[dict[str, Any], bytes] | None":
    """The next frame; None when the parent is gone."""
    prefix = requests.read(wire.LENGTHS.size)
    if len(prefix) < wire.LENGTHS.size:
        return None
    header_bytes, body_bytes = wire.lengths(prefix)
    return wire.header(requests.read(header_bytes)), requests.read(body_bytes)


@dataclass(slots=True)
class _Admission:
    """Permission to take memory for an image. Waiting for more than was granted takes none of its time."""

    requests: BinaryIO
    answers: BinaryIO
    seconds: float
    granted_bytes: int
    most_bytes: int = 0

    def __call__(self, needed_bytes: int) -> None:
        self.most_bytes = max(self.most_bytes, needed_bytes)
        if needed_bytes <= self.granted_bytes:
            return
        _alarm(0)
        _write(self.answers, wire.need(needed_bytes))
        if _read(self.requests) is None:
            os._exit(0)
        self.granted_bytes = needed_bytes
        _alarm(self.seconds)


def _alarm(seconds: float) -> None:
    """A second limit on time, for when nobody is left to kill this process."""
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(seconds))


def _answer(answers: BinaryIO, terms: wire.Terms, body: bytes, admit: Admit) -> None:
    try:
        compressed = _of_bounded_length(compress_image(body, terms.options, terms.limits, admit))
    except CodecError as error:
        _write(answers, wire.failure(error))
    except MemoryError:
        _write(answers, wire.failure(CodecError(ErrorCode.OUT_OF_MEMORY, "decoding takes too much memory")))
    except Exception as error:  # noqa: BLE001 - decoders raise anything; the next image goes on
        corrupt = errors.corrupt()
        corrupt.cause = type(error).__name__
        _write(answers, wire.failure(corrupt))
    else:
        _write(answers, wire.success(compressed), compressed.data)


def _of_bounded_length(compressed: Compressed) -> Compressed:
    if len(compressed.data) > wire.MAX_BODY_BYTES:
        raise CodecError(ErrorCode.ENCODE_FAILED, "the result is too long")
    return compressed


def _write(answers: BinaryIO, header: dict[str, Any], body: bytes = b"") -> None:
    head = wire.frame_head(header, len(body))
    written = os.writev(answers.fileno(), [head, body])
    for part, begun in ((head, written), (body, max(0, written - len(head)))):
        rest = memoryview(part)[begun:]
        while rest:
            rest = rest[answers.write(rest) :]


if __name__ == "__main__":
    main()
