"""What to ask of the requantiser, so that a quality keeps meaning libjpeg's. Used by `jpeg_to_jpeg`.

AC coefficients between 0.5 and 0.6 of a step become 0, which saves more bytes than it costs in likeness;
tables a little finer make up for that. How much finer was found on fifteen pictures (those that scikit-image
and scikit-learn come with, and others) saved at quality 90 and requantised to 20, 30, 40, 46, 55, 65 and 75:
the means of SSIMULACRA2 and of SSIM are not below those of Pillow's files at the same number, and the files
have 0.85 (quality 20) to 0.97 (75) of their bytes.
"""

_PLAIN = 500
_SPARING = 600
_FINER_BY = (
    (25, 0),
    (48, 4),
    (51, 3),
    (62, 2),
    (67, 3),
    (70, 2),
    (90, 1),
)
"""Below that quality, by so much. Never so that a higher quality gets coarser tables."""


def of(quality: int) -> tuple[int, int]:
    """For libjpeg's quality: that of the requantiser's tables, and from which fraction, in 1/1000, it rounds
    AC coefficients up.
    """
    finer = next((by for below, by in _FINER_BY if quality < below), 0)
    return quality + finer, _SPARING if finer else _PLAIN
