"""The same upload again: which request id its Idempotency-Key stands for, and how it is answered."""

import uuid
from dataclasses import dataclass

from imagebatch.batch.spec import BatchSpec
from imagebatch.csv.columns import ColumnOptions
from imagebatch.errors import Problem
from imagebatch.options import Compression
from imagebatch.records import Request
from imagebatch_api.problems import RefusedError

NAMESPACE = uuid.UUID("5b4b3f5e-6a0f-5f0a-9c55-0d6f3c1c8a27")
"""The UUID namespace of the request ids that are made from Idempotency-Keys; never change it."""

MAX_KEY_CHARS = 255


@dataclass(frozen=True, slots=True)
class Found:
    """What reading the file found; `sha256` is of the file as it came."""

    rows: int
    images: int
    sha256: str
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that was taken in."""

    request_id: str
    rows: int
    images: int
    warnings: tuple[Problem, ...]


def request_id_of(idempotency_key: str, owner: str | None = None) -> str:
    """The request id that an owner's key stands for. Raises RefusedError for a key that is not usable."""
    key = idempotency_key.strip()
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise RefusedError(
            400, "invalid_idempotency_key", f"an Idempotency-Key has 1 to {MAX_KEY_CHARS} ASCII characters"
        )
    return str(uuid.uuid5(NAMESPACE if owner is None else uuid.uuid5(NAMESPACE, owner), key))


def accepted_as(earlier: Request, found: Found, spec: BatchSpec, webhook_url: str | None) -> Accepted:
    """The earlier upload's answer, for the same upload again. Raises RefusedError for another one."""
    if not _is_same(earlier, found, spec, webhook_url):
        raise RefusedError(
            422, "idempotency_key_reused", "this Idempotency-Key was used for another file or other fields"
        )
    return Accepted(earlier.request_id, earlier.rows, found.images, found.warnings)


def _is_same(earlier: Request, found: Found, spec: BatchSpec, webhook_url: str | None) -> bool:
    return (
        found.sha256 == earlier.input_sha256
        and spec.compression == Compression.parse(earlier.spec.get("compression", {}))
        and spec.columns == ColumnOptions.parse(earlier.spec.get("source", {}))
        and webhook_url == earlier.webhook_url
    )
