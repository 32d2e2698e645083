"""The SDK's errors as ImageBatch's own."""

from minio.error import S3Error
from urllib3.exceptions import MaxRetryError, ResponseError

from imagebatch.errors import (
    AccessDeniedError,
    NotFoundError,
    StoreError,
    StoreFullError,
    ThrottledError,
)

_PERHAPS = " (where s3:ListBucket is not granted, AWS says so of what is not there, too)"
DENIED = frozenset(
    {
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "AccountProblem",
        "AllAccessDisabled",
    }
)
THROTTLED = frozenset(
    {
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ServiceUnavailable",
        "TooManyRequests",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "BandwidthLimitExceeded",
    }
)
FULL = frozenset(
    {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"}
)
"""What MinIO, Ceph and WebDAV-like servers say; AWS is never full."""
_THROTTLING_STATUSES = ("429", "503")
ABSENT = frozenset({"NoSuchKey", "NoSuchObject", "PreconditionFailed", "NoSuchVersion"})


def translated(error: Exception) -> StoreError:
    """The error of ours for an error of the SDK."""
    if isinstance(error, S3Error):
        text = f"S3: {error.code}: {error.message}"
        if error.code in DENIED:
            return AccessDeniedError(text + (_PERHAPS if error.code == "AccessDenied" else ""))
        if error.code in ABSENT:
            return NotFoundError(text)
        if error.code in FULL:
            return StoreFullError(text)
        return ThrottledError(text) if error.code in THROTTLED else StoreError(text)
    if isinstance(error, MaxRetryError) and _is_throttling(error):
        return ThrottledError(f"S3: {error.reason}")
    return StoreError(f"S3: {type(error).__name__}: {error}")


def _is_throttling(error: MaxRetryError) -> bool:
    """Whether the retries ended at an answer that asks for fewer requests."""
    reason = error.reason
    return isinstance(reason, ResponseError) and any(status in str(reason) for status in _THROTTLING_STATUSES)
