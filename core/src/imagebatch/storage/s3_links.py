"""Signed links at an address that is not the endpoint's: AWS's Signature Version 4 covers the host.

`S3Store` uses it for the links that users get (docs/decisions/0019-asking-the-operator.md).
"""

from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from minio.credentials.credentials import Credentials
from minio.signer import presign_v4

from imagebatch.storage.s3_request import Identity

_PORTS = {"http": 80, "https": 443}


def signed_at(base: str, key: str, region: str, identity: Identity, lifetime_s: int) -> str:
    """A link to `key` under the URL `base`, good where `base` is S3 itself by another name.

    Before a CDN that asks S3 by a host of its own it is good for nothing. It contains no comma.
    """
    token = {"X-Amz-Security-Token": identity.session_token} if identity.session_token else {}
    place = urlsplit(f"{base}/{quote(key)}")
    has_its_port = place.port is not None and place.port == _PORTS.get(place.scheme)
    netloc = place.netloc.rpartition(":")[0] if has_its_port else place.netloc  # as clients send it
    signed = presign_v4(
        method="GET",
        url=place._replace(netloc=netloc, query=urlencode(token)),
        region=region,
        credentials=Credentials(identity.access_key, identity.secret_key),
        date=datetime.now(UTC),
        expires=lifetime_s,
    )
    return signed.geturl().replace(",", "%2C")
