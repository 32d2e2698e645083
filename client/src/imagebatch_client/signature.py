"""Checks that a webhook is ImageBatch's: Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping

from imagebatch_client.errors import SignatureError

TOLERANCE_S = 300.0


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_s: float | None = TOLERANCE_S,
    now_s: float | None = None,
) -> None:
    """Raise SignatureError unless `body` was signed with `secret`, not long ago.

    `body` is as it came, before anything parsed it. `secret` may hold several, separated by white space,
    as the server's does while one replaces another: one that fits is enough. With a `tolerance_s` of None
    a message may be of any age.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
    except KeyError as error:
        raise SignatureError(f"the header {error.args[0]} is missing") from None
    _check_age(timestamp, tolerance_s, time.time() if now_s is None else now_s)
    signed = f"{message_id}.{timestamp}.".encode() + body
    wanted = [_signature(key, signed) for key in _keys(secret)]
    if not any(hmac.compare_digest(one.encode(), other) for one in signatures for other in wanted):
        raise SignatureError("the signature is not that of this secret and this body")


def _check_age(timestamp: str, tolerance_s: float | None, now_s: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise SignatureError("webhook-timestamp is no number of seconds")
    if tolerance_s is not None and abs(now_s - int(timestamp)) > tolerance_s:
        raise SignatureError(f"it was sent more than {tolerance_s:.0f} s from now, by its timestamp")


def _keys(secret: str) -> Iterator[bytes]:
    found = secret.split()
    if not found:
        raise SignatureError("there is no secret")
    for one in found:
        try:
            yield base64.b64decode(one.removeprefix("whsec_"), validate=True)
        except ValueError:
            raise SignatureError("the secret is not whsec_ and base64") from None


def _signature(key: bytes, signed: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
