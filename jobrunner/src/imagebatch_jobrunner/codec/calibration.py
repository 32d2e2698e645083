"""What to ask of the requantiser, so that a quality keeps meaning libjpeg's. Used by `jpeg_to_jpeg`."""


def of(quality: int) -> tuple[int, int]:
    """For libjpeg's quality: that of the requantiser's tables, and from which fraction, in 1/1000, it rounds
    AC coefficients up.
    """
    return quality, 500
