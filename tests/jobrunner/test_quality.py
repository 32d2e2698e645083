"""The estimate of a JPEG's quality."""

import io

import pytest
from PIL import Image

from imagebatch_jobrunner.decoder import quality
from imagebatch_jobrunner.decoder.quality import SourceQuality


def tables_of(mode: str, number: int, subsampling: int) -> dict[int, list[int]]:
    file = io.BytesIO()
    Image.new(mode, (16, 16)).save(file, "JPEG", quality=number, subsampling=subsampling)
    with Image.open(file) as image:
        return dict(image.quantization)  # type: ignore[attr-defined]


@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_quality_of_libjpeg_is_found_exactly(mode: str, subsampling: int) -> None:
    found = {number: quality.estimate(tables_of(mode, number, subsampling)) for number in range(1, 101)}
    assert found == {number: SourceQuality(number, "exact") for number in range(1, 101)}


@pytest.mark.parametrize("number", [10, 50, 75, 90, 97])
def test_other_tables_are_called_by_the_nearest_quality(number: int) -> None:
    tables = {
        key: [value + (1 if place % 9 == 0 else 0) for place, value in enumerate(table)]
        for key, table in tables_of("RGB", number, 2).items()
    }
    estimate = quality.estimate(tables)
    assert estimate.basis == "approximate"
    assert abs(estimate.number - number) <= 1


def test_tables_of_sixteen_bits_are_compared_as_eight() -> None:
    wide = {0: [value * 50 for value in quality.LUMINANCE], 1: [value * 50 for value in quality.CHROMINANCE]}
    assert quality.estimate(wide) == SourceQuality(1, "exact")


@pytest.mark.parametrize("tables", [{}, {0: [1, 2, 3]}], ids=["none", "too short"])
def test_without_usable_tables_the_quality_is_assumed(tables: dict[int, list[int]]) -> None:
    assert quality.estimate(tables) == quality.ASSUMED
