"""Write heic_files/: the drawn picture as phones' systems save it.

    python make_heic_files.py, with numpy and pillow-heif, which no test needs (its encoder x265 is GPL)

Pillow can't write HEIC, so these files are kept; all else of the drawn corpus is made anew by each run.
"""

import numpy
import pillow_heif
from PIL import Image

from imagebatch_testing.drawn_corpus import HEIC_FILES, SIZE, picture

DISPLAY_P3, HDR_PQ = (12, 13, 6), (9, 16, 9)
"""Primaries, transfer and matrix of ITU-T H.273."""


def main() -> None:
    pillow_heif.register_heif_opener()
    HEIC_FILES.mkdir(exist_ok=True)
    image = picture()
    save(image, "picture")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A phone"
    save(image.transpose(Image.Transpose.ROTATE_90), "turned", exif=exif.tobytes())
    clear = image.copy()
    clear.putalpha(Image.radial_gradient("L").resize(SIZE))
    save(clear, "clear")
    save(image.convert("L"), "grey")
    save(image.crop((0, 0, 97, 63)), "odd")
    for name, (primaries, transfer, matrix) in {"display p3": DISPLAY_P3, "hdr": HDR_PQ}.items():
        save(
            image,
            name,
            color_primaries=primaries,
            transfer_characteristics=transfer,
            matrix_coefficients=matrix,
        )
    deep = numpy.asarray(image).astype(numpy.uint16) << 8
    pillow_heif.from_bytes(mode="RGB;16", size=SIZE, data=deep.tobytes()).save(
        HEIC_FILES / "deep.heic", quality=80
    )
    several = pillow_heif.HeifFile()
    for one in (image, image.rotate(90)):
        several.add_from_pillow(one)
    several.save(HEIC_FILES / "two.heic", quality=80)


def save(image: Image.Image, name: str, **options: object) -> None:
    image.save(HEIC_FILES / f"{name}.heic", "HEIF", quality=80, **options)


if __name__ == "__main__":
    main()
