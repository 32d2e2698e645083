"""POST /upload?dry_run=true: the upload is read and checked as any other, and nothing of it is kept."""

from collections.abc import Callable, Iterator

from imagebatch.csv.check import Checked, checked
from imagebatch.errors import InputRefusedError
from imagebatch.net.guard import AddressPolicy
from imagebatch_api.fields import Fields
from imagebatch_api.form import ContentType
from imagebatch_api.idempotency import request_id_of
from imagebatch_api.upload_bounds import UploadBounds
from imagebatch_api.upload_reader import Incoming, UploadReader

PARAMETER = "dry_run"


def is_asked(query: list[tuple[str, str]]) -> bool:
    """Whether the query asks for one. Raises InputRefusedError for a value that is none."""
    values = [value.strip().lower() for name, value in query if name == PARAMETER]
    if len(values) > 1:
        raise InputRefusedError.of("duplicate_field", f"{PARAMETER}: given more than once")
    if values and values[0] not in {"true", "false", ""}:
        raise InputRefusedError.of("invalid_option", f"{PARAMETER}: is true or false")
    return values == ["true"]


class DryRuns:
    """Checks uploads, in the room that uploads have."""

    def __init__(self, reader: UploadReader, bounds: UploadBounds, policy: AddressPolicy) -> None:
        self._reader = reader
        self._bounds = bounds
        self._policy = policy

    async def check(self, incoming: Incoming) -> Checked:
        """Raises RefusedError and InputRefusedError, as the upload would."""
        fields = self._reader.fields(incoming)
        if incoming.idempotency_key is not None:
            request_id_of(incoming.idempotency_key, incoming.owner)
        with self._bounds.room(incoming.owner):
            found = await self._reader.receive(incoming, fields, self._read)
            fields.batch_spec(self._policy)
            return found

    def _read(self, content_type: ContentType, fields: Fields) -> Callable[[Iterator[bytes]], Checked]:
        return lambda chunks: checked(self._reader.reader_of(chunks, content_type, fields))
