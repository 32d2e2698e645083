"""Reads an upload's parts: the fields are collected, and the file goes through a reader in a thread."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import anyio

from imagebatch.csv.ingest import Limits, Reader
from imagebatch.errors import InputRefusedError
from imagebatch.net.guard import AddressPolicy
from imagebatch.thread_reader import ThreadReader
from imagebatch_api import form
from imagebatch_api.fields import Fields
from imagebatch_api.form import ContentType, Field, FileBegins, FileEnds
from imagebatch_api.settings import ApiSettings
from imagebatch_api.upload_bounds import UploadBounds

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Incoming:
    """An upload as HTTP brings it. `length` is the declared one of the body, None when there is none.

    `owner` is the name of the token it came with, None where no tokens are asked for.
    """

    content_type: str
    length: int | None
    query: Sequence[tuple[str, str]]
    idempotency_key: str | None
    body: AsyncGenerator[bytes, None]
    owner: str | None = None


class UploadReader:
    """Reads uploads, as many at once as `bounds` has room for."""

    def __init__(self, settings: ApiSettings, policy: AddressPolicy, bounds: UploadBounds) -> None:
        self._settings = settings
        self._policy = policy
        self._bounds = bounds
        self._threads = anyio.CapacityLimiter(settings.max_uploads)
        self.limits = Limits(max_rows=settings.max_rows)

    def fields(self, incoming: Incoming) -> Fields:
        """The fields of the query. Raises RefusedError for a body that says it is too long."""
        self._bounds.check_length(incoming.length or 0)
        return Fields(incoming.query, self._settings.form_limits)

    async def receive(
        self,
        incoming: Incoming,
        fields: Fields,
        reader: Callable[[ContentType, Fields], Callable[[Iterator[bytes]], R]],
    ) -> R:
        """Read the parts to the last; returns what the file's reader found."""
        found: list[R] = []
        async with (
            ThreadReader[R](self._threads) as reading,
            aclosing(self._bounds.bounded(incoming.body)) as body,
            aclosing(form.parts(incoming.content_type, body, self._settings.form_limits)) as parts,
        ):
            async for part in parts:
                match part:
                    case FileBegins(content_type):
                        fields.batch_spec(self._policy)  # refuse wrong fields before the file is read
                        fields.begin_file()
                        reading.start(reader(content_type, fields))
                    case FileEnds():
                        found.append(await reading.finish())
                    case Field(name, value):
                        fields.add(name, value)
                    case chunk:
                        await reading.feed(chunk)
        if not found:
            raise InputRefusedError.of("missing_file", "file: the form has no such field")
        return found[0]

    def reader_of(self, chunks: Iterator[bytes], content_type: ContentType, fields: Fields) -> Reader:
        """What reads a file as ingest does."""
        return Reader(
            chunks,
            encoding=fields.encoding(content_type),
            columns=fields.batch_spec(self._policy).columns,
            limits=self.limits,
        )
