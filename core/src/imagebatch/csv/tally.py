"""What became of a batch's images, summed up one by one, in plain numbers."""

from collections import Counter
from typing import NamedTuple

from imagebatch.outcome import Counts, ErrorCode, Qualities, QualityBasis


class Quality(NamedTuple):
    """What is known of a stored image's quality: the source's, its own when it was encoded anew, how the
    source's is known, whether the picture was `kept` as it came, or made smaller without decoding its pixels.
    """

    source: int
    encoded: int | None
    basis: QualityBasis
    kept: bool
    requantised: bool


class Tally:
    """Sums over images; `Counts` and `Qualities` say what each is."""

    def __init__(self) -> None:
        self._stored = 0
        self._bytes_in = 0
        self._bytes_out = 0
        self._bases: Counter[str] = Counter()
        self._codes: Counter[ErrorCode] = Counter()
        self._kept = 0
        self._encoded = 0
        self._requantised = 0
        self._source_sum = 0
        self._encoded_sum = 0

    def add_stored(self, bytes_in: int, bytes_out: int, quality: Quality | None) -> None:
        self._stored += 1
        self._bytes_in += bytes_in
        self._bytes_out += bytes_out
        if quality is None:
            return
        source, encoded, basis, kept, requantised = quality
        self._bases[basis] += 1
        self._source_sum += source
        self._kept += kept
        self._requantised += requantised
        if encoded is not None:
            self._encoded += 1
            self._encoded_sum += encoded

    def add_missing(self, code: ErrorCode) -> None:
        self._codes[code] += 1

    @property
    def counts(self) -> Counts:
        missing, skipped = self._codes.total(), self._codes[ErrorCode.NOT_TRIED]
        return Counts(
            total=self._stored + missing,
            succeeded=self._stored,
            failed=missing - skipped,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            skipped=skipped,
        )

    @property
    def qualities(self) -> Qualities:
        return Qualities(
            exact=self._bases["exact"],
            approximate=self._bases["approximate"],
            assumed=self._bases["assumed"],
            kept=self._kept,
            encoded=self._encoded,
            requantised=self._requantised,
            source_sum=self._source_sum,
            encoded_sum=self._encoded_sum,
        )

    @property
    def errors(self) -> dict[str, int]:
        """Failed images by code, the most frequent first; what was not tried did not fail."""
        return {code: count for code, count in self._codes.most_common() if code is not ErrorCode.NOT_TRIED}
