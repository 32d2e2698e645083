"""The body of an upload as a stream of parts, parsed while it arrives: a form, or a bare CSV.

Nothing is kept but a text field's few bytes; the file's chunks pass through. `imagebatch_api.uploads`
consumes the parts.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from imagebatch.errors import InputRefusedError
from imagebatch_api.problems import RefusedError

MULTIPART = "multipart/form-data"
CSV_TYPES = frozenset({"text/csv", "application/csv", "application/vnd.ms-excel", "text/plain"})
UNSPECIFIC_TYPES = frozenset({"", "application/octet-stream"})
FILE_FIELD = "file"
MAX_BOUNDARY_CHARS = 200


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What a form may have at most: fields, the file among them, and bytes of a field beside the file."""

    max_fields: int = 64
    max_field_bytes: int = 8 * 1024


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type, lower case, without parameters but its charset."""

    name: str = ""
    charset: str = ""

    @classmethod
    def parse(cls, header: str) -> "ContentType":
        name, options = parse_options_header(header)
        return cls(name, options.get("charset", "").lower())


@dataclass(frozen=True, slots=True)
class FileBegins:
    """Chunks of the file follow."""

    content_type: ContentType


@dataclass(frozen=True, slots=True)
class FileEnds:
    """The file is complete; fields may still follow."""


@dataclass(frozen=True, slots=True)
class Field:
    """One text field."""

    name: str
    value: str


Part = FileBegins | bytes | FileEnds | Field


def parts(content_type: str, body: AsyncIterator[bytes], limits: FormLimits) -> AsyncGenerator[Part, None]:
    """The parts of a body in their order.

    Raises RefusedError for a body that is no CSV or no well-formed form, InputRefusedError for a bad field.
    """
    name, options = parse_options_header(content_type)
    if name == MULTIPART:
        return _form(_FormReader(options.get("boundary", ""), limits), body)
    return _bare(ContentType.parse(content_type), body)


async def _bare(content_type: ContentType, body: AsyncIterator[bytes]) -> AsyncGenerator[Part, None]:
    if content_type.name not in CSV_TYPES:
        raise _unsupported(content_type.name)
    yield FileBegins(content_type)
    async for chunk in body:
        yield chunk
    yield FileEnds()


async def _form(reader: "_FormReader", body: AsyncIterator[bytes]) -> AsyncGenerator[Part, None]:
    async for chunk in body:
        for part in reader.read(chunk):
            yield part
    reader.close()


class _FormReader:
    """Makes parts of a form's chunks. `multipart` finds the boundaries."""

    def __init__(self, boundary: str, limits: FormLimits) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY_CHARS:
            raise _malformed("the Content-Type has no usable boundary")
        try:
            self._parser = PushMultipartParser(boundary)
        except MultipartError as error:
            raise _malformed(str(error)) from None
        self._limits = limits
        self._count = 0
        self._open: _OpenField | None = None

    def read(self, chunk: bytes) -> list[Part]:
        """The parts that end in this chunk, and what it holds of the file."""
        try:
            found = [self._part(event) for event in self._parser.parse(chunk)]
        except MultipartError as error:
            raise _malformed(str(error)) from None
        return [part for part in found if part is not None]

    def close(self) -> None:
        try:
            self._parser.close()
        except MultipartError:
            raise _malformed("the form ends before its last boundary") from None

    def _part(self, event: MultipartSegment | bytes | None) -> Part | None:
        if isinstance(event, MultipartSegment):
            return self._begin(event)
        if event is None:
            return self._end()
        if self._open is None:
            return event
        self._open.add(event)
        return None

    def _begin(self, segment: MultipartSegment) -> Part | None:
        self._count += 1
        if self._count > self._limits.max_fields:
            limit = self._limits.max_fields
            raise InputRefusedError.of(
                "too_many_form_fields",
                f"a form may have {limit} fields; leave out what is no field of an upload",
            )
        if segment.name != FILE_FIELD:
            self._open = _OpenField(segment.name, self._limits.max_field_bytes)
            return None
        return FileBegins(_file_type(segment))

    def _end(self) -> Part:
        done, self._open = self._open, None
        return FileEnds() if done is None else done.close()


@dataclass(slots=True)
class _OpenField:
    """A text field whose end has not come yet."""

    name: str
    max_bytes: int
    _value: bytearray = field(default_factory=bytearray)

    def add(self, chunk: bytes) -> None:
        self._value += chunk
        check_length(self.name, len(self._value), self.max_bytes)

    def close(self) -> Field:
        try:
            return Field(self.name, self._value.decode())
        except UnicodeDecodeError:
            raise InputRefusedError.of("invalid_field", f"{shown(self.name)}: not UTF-8") from None


def check_length(name: str, size: int, limit: int) -> None:
    """Raise InputRefusedError for a field of more bytes than the limit."""
    if size > limit:
        raise InputRefusedError.of("field_too_long", f"{shown(name)}: longer than {limit} bytes; shorten it")


def _file_type(segment: MultipartSegment) -> ContentType:
    """The type of the file part. Raises when it can't be a CSV, or when no file was chosen."""
    found = ContentType(segment.content_type or "", (segment.charset or "").lower())
    name = (segment.filename or "").lower()
    if found.name in CSV_TYPES or (found.name in UNSPECIFIC_TYPES and name.endswith(".csv")):
        return found
    if segment.filename == "":
        raise InputRefusedError.of("missing_file", "file: no file was chosen")
    raise _unsupported(found.name)


def shown(name: str) -> str:
    return repr(name if len(name) <= 40 else f"{name[:40]}…")


def _unsupported(name: str) -> RefusedError:
    given = f"{shown(name)} is not CSV" if name else "the upload has no Content-Type"
    return RefusedError(
        415, "unsupported_media_type", f"{given}; save as CSV, and send it as text/csv or as a .csv file"
    )


def _malformed(reason: str) -> RefusedError:
    return RefusedError(400, "malformed_form", f"the multipart/form-data body is malformed: {reason}")
