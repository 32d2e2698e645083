"""What only a JPEG's header says. Used by `probe`."""

from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

_SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """`samplings` are the factors across and down, by component."""

    is_progressive: bool
    samplings: tuple[tuple[int, int], ...]

    @property
    def subsampling(self) -> int | None:
        """That of chroma in Pillow's numbers: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0; None for all others."""
        if len(self.samplings) not in {3, 4}:
            return None
        luminance, *chrominance = self.samplings[:3]
        return _SUBSAMPLINGS.get(luminance) if set(chrominance) == {(1, 1)} else None


def read(image: Image.Image) -> JpegHeader | None:
    """None for an image that is no JPEG."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    return JpegHeader(
        is_progressive="progressive" in image.info,
        samplings=tuple((across, down) for _, across, down, _ in image.layer),
    )
