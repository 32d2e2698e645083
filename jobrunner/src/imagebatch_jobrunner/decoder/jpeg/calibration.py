"""What to ask of the requantiser, so that a quality keeps meaning libjpeg's. Used by `transcode`.

AC coefficients between 0.5 and 0.6 of a step become 0, and the requantiser's steps are finer than libjpeg's
where that is seen and coarser where it is not (`WEIGHTS` in tables.rs). At the same number the result is now
more like the source than libjpeg's and now less. So the number is raised or lowered a little, until the means
of SSIMULACRA2 and of SSIM over five to eight pictures are not below those of Pillow's files, for sources of
quality 75, 80, 90 and 95, in 4:2:0 and 4:4:4. Figures: docs/decisions/0013-requantiser.md.
"""

from itertools import pairwise

_ROUNDS_UP_FROM = 600
_FINER_BY = (
    (1, 0.0),
    (20, 0.5),
    (30, 1.5),
    (45, 1.0),
    (57, 0.3),
    (65, -1.0),
    (70, -0.5),
    (80, -0.5),
    (85, 0.3),
    (100, 0.0),
)
"""By how much the number is raised at each quality; in between, in proportion."""


def of(quality: int) -> tuple[float, int]:
    """For libjpeg's quality: that of the requantiser's tables, to a tenth, and from which fraction, in
    1/1000, it rounds AC coefficients up.
    """
    for (low, finer_by), (high, next_by) in pairwise(_FINER_BY):
        if quality <= high:
            found = quality + finer_by + (next_by - finer_by) * (quality - low) / (high - low)
            return round(found, 1), _ROUNDS_UP_FROM
    return 100.0, _ROUNDS_UP_FROM
