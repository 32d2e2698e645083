"""The SDK's errors as ImageBatch's own."""

from minio.error import S3Error

from imagebatch.errors import AccessDeniedError, NotFoundError, StoreError

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
ABSENT = frozenset({"NoSuchKey", "NoSuchObject", "PreconditionFailed", "NoSuchVersion"})


def translated(error: Exception) -> StoreError:
    """The error of ours for an error of the SDK."""
    if isinstance(error, S3Error):
        text = f"S3: {error.code}: {error.message}"
        if error.code in DENIED:
            return AccessDeniedError(text)
        if error.code in ABSENT:
            return NotFoundError(text)
        return StoreError(text)
    return StoreError(f"S3: {type(error).__name__}: {error}")
