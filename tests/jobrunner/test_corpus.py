"""What becomes of some thousand files that others made: docs/formats.md shows the table and argues the bounds."""

import asyncio
import io
import os
import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import formats
from imagebatch_testing import corpus
from imagebatch_testing.corpus import Tried
from imagebatch_testing.likeness import Film, film, likeness

COLOURS_BOUND = 10.0
ALPHA_BOUND = 2.0

DOCUMENTED = Path(__file__).parents[2] / "docs" / "formats.md"
BROKEN = {ErrorCode.DECODER_CRASHED, ErrorCode.TIMEOUT, ErrorCode.OUT_OF_MEMORY, ErrorCode.ENCODE_FAILED}

needs_corpus = pytest.mark.skipif(
    corpus.folder() is None, reason="no corpus of images: set IMAGEBATCH_CORPUS to a folder of some"
)


@pytest.fixture(scope="module")
def outcomes() -> list[Tried]:
    folder = corpus.folder()
    assert folder is not None
    return asyncio.run(corpus.tried(corpus.files(folder), Compression()))


def filmed(data: bytes) -> Film:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return film(data)


def name_of(outcome: Tried) -> str:
    return f"{outcome.path.parent.name}/{outcome.path.name}"


@needs_corpus
def test_every_file_ends_in_an_image_or_an_error_of_its_own(outcomes: list[Tried]) -> None:
    assert [name_of(one) for one in outcomes if one.error is not None and one.error.code in BROKEN] == []
    assert [name_of(one) for one in outcomes if (one.result is None) == (one.error is None)] == []


@needs_corpus
def test_every_result_is_a_whole_image_of_its_format(outcomes: list[Tried]) -> None:
    for one in outcomes:
        if one.result is not None:
            assert formats.recognise(one.result.data).name == one.result.format, name_of(one)
            assert filmed(one.result.data).size == (one.result.width, one.result.height) or (
                one.result.format == "ico"
            ), name_of(one)


@needs_corpus
def test_nothing_gets_longer(outcomes: list[Tried]) -> None:
    longer = [name_of(one) for one in outcomes if one.result and len(one.result.data) > len(one.data)]
    assert longer == []


@needs_corpus
def test_results_look_like_their_sources(outcomes: list[Tried]) -> None:
    unlike = []
    for one in outcomes:
        if one.result is None or one.result.data == one.data:
            continue
        before, after = filmed(one.data), filmed(one.result.data)
        found = (
            likeness(before, after, grounds=("white",) if one.result.format == "jpeg" else ("white", "black"))
            if before.size == after.size
            else None
        )
        if (
            found is None
            or found.colours > COLOURS_BOUND
            or found.alpha > ALPHA_BOUND
            or before.total_ms != pytest.approx(after.total_ms, abs=1)
            or before.is_transparent != after.is_transparent
        ):
            unlike.append((name_of(one), found, before.size, after.size, before.total_ms, after.total_ms))
    assert unlike == [], "\n".join(map(str, unlike))


@needs_corpus
@pytest.mark.skipif("IMAGEBATCH_CORPUS" in os.environ, reason="the table is of another corpus")
def test_the_table_in_the_documentation_is_true(outcomes: list[Tried]) -> None:
    assert corpus.table(outcomes) in DOCUMENTED.read_text()


@pytest.mark.parametrize("wrong", ["turned", "mirrored", "negative", "half grey", "red and blue", "black"])
def test_the_bound_tells_a_wrong_picture_from_a_compressed_one(photo: Image.Image, wrong: str) -> None:
    grey = photo.copy()
    grey.paste((128, 128, 128), (0, photo.height // 2, photo.width, photo.height))
    spoilt = {
        "turned": photo.rotate(180),
        "mirrored": ImageOps.mirror(photo.rotate(90).resize(photo.size)),
        "negative": ImageOps.invert(photo),
        "half grey": grey,
        "red and blue": Image.merge("RGB", photo.split()[::-1]),
        "black": Image.new("RGB", photo.size),
    }[wrong]
    files = []
    for image in (photo, spoilt):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=30)
        files.append(filmed(file.getvalue()))
    assert likeness(*files).colours > COLOURS_BOUND
