"""The exceptions of the jobrunner, beside those of `imagebatch.errors`.

::

    ImageBatchError
    ├── ImageError        one image failed; becomes its outcome
    │   ├── CodecError        by what its bytes are
    │   └── FetchError        by how its download went
    ├── PoisonShardError  the shard's input is gone or not what the plan says (exit 65)
    └── CodecStartError   codec processes do not start, also when tried again (exit 71)
"""

from imagebatch.errors import ImageBatchError
from imagebatch.outcome import ErrorCode


class ImageError(ImageBatchError):
    """One image failed. `message` is for its user and holds no secret."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class CodecError(ImageError):
    """The image's bytes could not be made into a compressed picture.

    `cause` is what a library said, for the log alone.
    """

    cause: str = ""


class FetchError(ImageError):
    """The download failed. `retry_after_s` is what the host asked for."""

    def __init__(
        self, code: ErrorCode, message: str, *, retryable: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(code, message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class PoisonShardError(ImageBatchError):
    """This shard can't be done by any run."""


class CodecStartError(ImageBatchError):
    """A codec process ended before it was ready."""
