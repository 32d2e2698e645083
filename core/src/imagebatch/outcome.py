"""What became of an image: its outcome, and the closed set of error codes.

The jobrunner makes outcomes and writes them to a shard's fragment; merge reads them. docs/errors.md shows
the table `EXPLANATIONS`; a test holds that the two agree.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, NamedTuple

QualityBasis = Literal["exact", "approximate", "assumed"]


class ErrorCode(StrEnum):
    """Why an image failed. Users match on these: never rename one, never reuse one."""

    INVALID_URL = "invalid_url"
    CREDENTIALS_IN_URL = "credentials_in_url"
    SHARE_LINK = "share_link"
    DNS_FAILED = "dns_failed"
    ADDRESS_FORBIDDEN = "address_forbidden"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    DOWNLOAD_TIMEOUT = "download_timeout"
    DOWNLOAD_FAILED = "download_failed"
    HTTP_STATUS = "http_status"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    EMPTY_FILE = "empty_file"
    TOO_LARGE = "too_large"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    DECODER_CRASHED = "decoder_crashed"
    ENCODE_FAILED = "encode_failed"
    SHARD_FAILED = "shard_failed"
    NOT_TRIED = "not_tried"
    INTERNAL_ERROR = "internal_error"


class Explanation(NamedTuple):
    """What a user needs to know of an error code."""

    cause: str
    temporary: bool
    advice: str


EXPLANATIONS: dict[ErrorCode, Explanation] = {
    ErrorCode.INVALID_URL: Explanation(
        "The cell's text is not an http:// or https:// link.", False, "Correct the link."
    ),
    ErrorCode.CREDENTIALS_IN_URL: Explanation(
        "The link carries user:password@, which would end up in the output CSV and in logs.",
        False,
        "Use a link that needs no password, such as a presigned one.",
    ),
    ErrorCode.SHARE_LINK: Explanation(
        "The link shows a page, folder or album of a service for sharing files, not the picture itself.",
        False,
        "Share the picture itself with everybody, and use the link that downloads it.",
    ),
    ErrorCode.DNS_FAILED: Explanation(
        "The host's name has no address.", True, "Check the host's name; try again later."
    ),
    ErrorCode.ADDRESS_FORBIDDEN: Explanation(
        "The host is, or resolves to, an address that is not on the public internet.",
        False,
        "Use a public host, or let the administrator open it with IMAGEBATCH_ALLOWED_NETWORKS.",
    ),
    ErrorCode.CONNECT_FAILED: Explanation(
        "No connection could be made to the host.",
        True,
        "Check that the host is up; try again later.",
    ),
    ErrorCode.TLS_FAILED: Explanation(
        "The host's TLS certificate is not valid for its name, or the TLS handshake failed.",
        False,
        "Have the host's certificate corrected.",
    ),
    ErrorCode.DOWNLOAD_TIMEOUT: Explanation(
        "The host did not send the whole file in time.", True, "Try again later."
    ),
    ErrorCode.DOWNLOAD_FAILED: Explanation(
        "The connection broke, or what arrived was not valid HTTP.", True, "Try again later."
    ),
    ErrorCode.HTTP_STATUS: Explanation(
        "The host answered with an error status, which the message names.",
        False,
        "404 and 410: correct the link. 401 and 403: make the file public. 429 and 5xx: try again later.",
    ),
    ErrorCode.TOO_MANY_REDIRECTS: Explanation(
        "The link leads through more than 5 redirects.", False, "Use the final link."
    ),
    ErrorCode.EMPTY_FILE: Explanation("The file has no bytes.", False, "Upload the image again to its host."),
    ErrorCode.TOO_LARGE: Explanation(
        "The file has more bytes than the limit.", False, "Use a smaller file, or raise the limit."
    ),
    ErrorCode.UNSUPPORTED_ENCODING: Explanation(
        "The host sent the file in a Content-Encoding that was not asked for and is not decoded, such as br.",
        False,
        "Have the host send images as they are, or with gzip or deflate.",
    ),
    ErrorCode.NOT_AN_IMAGE: Explanation(
        "The file is not an image; often it is an HTML page, such as a login.",
        False,
        "Open the link in a private browser window and see what it shows.",
    ),
    ErrorCode.UNSUPPORTED_FORMAT: Explanation(
        "The file is an image of a kind that ImageBatch does not decode.",
        False,
        "Use JPEG, PNG, WebP, GIF, AVIF, HEIC, BMP, TIFF, ICO or PSD.",
    ),
    ErrorCode.TRUNCATED: Explanation(
        "The image ends before its last pixel.", False, "Upload the image again to its host."
    ),
    ErrorCode.CORRUPT: Explanation(
        "The image's data is damaged.", False, "Save the image anew with an image editor."
    ),
    ErrorCode.TOO_MANY_PIXELS: Explanation(
        "The picture, or an animation as a whole, has too many pixels or takes too much memory.",
        False,
        "Use a smaller picture, or raise the limit that the message names.",
    ),
    ErrorCode.TOO_MANY_FRAMES: Explanation(
        "The animation has more frames than the limit.", False, "Use a shorter animation."
    ),
    ErrorCode.OUT_OF_MEMORY: Explanation(
        "Decoding the image takes more memory than a codec process may use.",
        False,
        "Use a smaller picture.",
    ),
    ErrorCode.TIMEOUT: Explanation(
        "Decoding and encoding took longer than the limit.",
        False,
        "Save the image anew, or smaller.",
    ),
    ErrorCode.DECODER_CRASHED: Explanation(
        "The image makes its decoder crash.", False, "Save the image anew with an image editor."
    ),
    ErrorCode.ENCODE_FAILED: Explanation(
        "The picture could not be written in the chosen format.",
        False,
        "Choose another output format.",
    ),
    ErrorCode.SHARD_FAILED: Explanation(
        "The part of the batch that holds this image could not be done.",
        True,
        "Upload errors.csv again; it holds exactly what failed.",
    ),
    ErrorCode.NOT_TRIED: Explanation(
        "The batch was cancelled, or stopped early, before this image was done; it counts as skipped.",
        True,
        "Upload errors.csv again, or start another attempt; it does what was not tried.",
    ),
    ErrorCode.INTERNAL_ERROR: Explanation(
        "A defect of ImageBatch; its log has the details.",
        True,
        "Upload errors.csv again, and report the defect if it stays.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """What became of the `slot`-th link (from 1) of row `row` (from 1, in the canonical CSV).

    Exactly when the image is stored, `name` is the object's name under the batch's image prefix and `error`
    is None. `bytes_in` is the size of the downloaded file, `bytes_out` that of the stored one, whose `width`
    and `height` are in pixels; `quality` is on libjpeg's scale of 1 to 100, None where the picture was kept
    as it was or the format knows no quality. `notes` are short stable words such as `already_compressed`.
    """

    row: int
    slot: int
    name: str | None = None
    error: ErrorCode | None = None
    message: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    format: str = ""
    width: int = 0
    height: int = 0
    source_format: str = ""
    source_quality: int | None = None
    quality: int | None = None
    quality_basis: QualityBasis | None = None
    notes: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.error is None


KEPT_NOTES = frozenset({"already_compressed", "kept_original"})
"""The notes of an image that was stored with its own picture."""

REQUANTISED = "requantised"
"""The note of a JPEG that was made smaller without decoding its pixels."""


@dataclass(frozen=True, slots=True)
class Qualities:
    """The qualities of a batch's stored images. `exact`, `approximate` and `assumed` count the images by how
    their source's quality is known; `source_sum` is over all of these, `encoded_sum` over the `encoded`.
    `kept` images have their own picture. `requantised` are those of the encoded that the requantiser made;
    the image library made the others.
    """

    exact: int = 0
    approximate: int = 0
    assumed: int = 0
    kept: int = 0
    encoded: int = 0
    source_sum: int = 0
    encoded_sum: int = 0
    requantised: int = 0

    @property
    def source_mean(self) -> float | None:
        return _mean(self.source_sum, self.exact + self.approximate + self.assumed)

    @property
    def encoded_mean(self) -> float | None:
        return _mean(self.encoded_sum, self.encoded)


def _mean(total: int, count: int) -> float | None:
    return round(total / count, 1) if count else None


@dataclass(frozen=True, slots=True)
class Counts:
    """Images and bytes of a shard or a batch. `bytes_in` and `bytes_out` count stored images only.

    `skipped` images were not tried, because the batch ended early; they are no failures.
    """

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.total + other.total,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.skipped + other.skipped,
        )

    def images(self) -> dict[str, int]:
        """The numbers of images, as every document shows them."""
        return {
            "total": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
        }

    def ended(self) -> "Counts":
        """These at the end of a batch: whatever was not done by then is skipped."""
        return replace(self, skipped=max(self.total - self.done, 0))

    @property
    def done(self) -> int:
        """Images that were tried."""
        return self.succeeded + self.failed

    def with_outcome(self, outcome: ImageOutcome) -> "Counts":
        """These counts after one more image."""
        if outcome.succeeded:
            return self + Counts(1, 1, 0, outcome.bytes_in, outcome.bytes_out)
        if outcome.error is ErrorCode.NOT_TRIED:
            return self + Counts(total=1, skipped=1)
        return self + Counts(1, 0, 1)
