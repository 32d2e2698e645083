"""What becomes of some thousand files that others made: docs/formats.md shows the table and argues the bounds."""

import asyncio
import io
import re
import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner import formats
from imagebatch_jobrunner.decoder.recognise import recognise
from imagebatch_testing import corpus, drawn_corpus, jpegs
from imagebatch_testing.corpus import Tried
from imagebatch_testing.likeness import Film, film, likeness

COLOURS_BOUND = 10.0
ALPHA_BOUND = 2.0

DOCUMENTED = Path(__file__).parents[2] / "docs" / "formats.md"
WORDS = re.compile(
    "the file has no bytes|the file ends before its last pixel|the file is an? [A-Za-z0-9 ()]+|the file is not an image"
    "|the file is [A-Z]+ of a rare kind: [^'<>{}]+|the file is a camera raw picture, without a preview in full size"
    "|the file is damaged: (its (header|size|palette|picture data) is damaged|bad header checksum|a checksum is wrong)"
    "|the picture has [0-9]+( x [0-9]+)? pixels; the limit is [0-9]+|the animation has [0-9]+ frames.*"
)
BROKEN = {ErrorCode.DECODER_CRASHED, ErrorCode.TIMEOUT, ErrorCode.OUT_OF_MEMORY, ErrorCode.ENCODE_FAILED}

NO_CORPUS = "no corpus of others: set IMAGEBATCH_CORPUS to a folder of images"


@pytest.fixture(scope="module", params=["drawn by us", "of others"])
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Tried]:
    if request.param == "drawn by us":
        folder: Path | None = drawn_corpus.draw(tmp_path_factory.mktemp("corpus"))
    else:
        folder = corpus.folder()
    if folder is None:
        pytest.skip(NO_CORPUS)
    return asyncio.run(corpus.tried(corpus.files(folder), Compression()))


def filmed(data: bytes) -> Film:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return film(data)


def name_of(outcome: Tried) -> str:
    return f"{outcome.path.parent.name}/{outcome.path.name}"


def test_every_file_ends_in_an_image_or_an_error_of_its_own(outcomes: list[Tried]) -> None:
    assert [name_of(one) for one in outcomes if one.error is not None and one.error.code in BROKEN] == []
    assert [name_of(one) for one in outcomes if (one.result is None) == (one.error is None)] == []


def test_every_result_is_a_whole_image_of_its_format(outcomes: list[Tried]) -> None:
    for one in outcomes:
        if one.result is not None:
            assert recognise(one.result.data).name == one.result.format, name_of(one)
            assert filmed(one.result.data).size == (one.result.width, one.result.height) or (
                one.result.format == "ico"
            ), name_of(one)


def test_nothing_gets_longer(outcomes: list[Tried]) -> None:
    longer = {name_of(one) for one in outcomes if one.result and len(one.result.data) > len(one.data)}
    never_kept = {name_of(one) for one in outcomes if one.result and one.result.source_format == "heic"}
    assert longer - never_kept == set()


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
            or after.total_ms != pytest.approx(0 if "still" in one.result.notes else before.total_ms, abs=1)
            or before.is_transparent != after.is_transparent
        ):
            unlike.append((name_of(one), found, before.size, after.size, before.total_ms, after.total_ms))
    assert unlike == [], "\n".join(map(str, unlike))


def test_errors_are_told_in_words_of_our_own(outcomes: list[Tried]) -> None:
    told = {one.error.message for one in outcomes if one.error is not None}
    assert [message for message in told if not WORDS.fullmatch(message)] == []


@pytest.mark.parametrize("outcomes", ["of others"], indirect=True)
def test_the_table_in_the_documentation_is_true(outcomes: list[Tried]) -> None:
    if corpus.folder() != corpus.documented_folder():
        pytest.skip("the table is of another corpus")
    if not jpegs.HAS_REQUANTISER:
        pytest.skip("the table is of an installation with the requantiser, which finds more damage")
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


def test_a_named_corpus_that_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGEBATCH_CORPUS", str(tmp_path))
    assert corpus.folder() == tmp_path
    monkeypatch.setenv("IMAGEBATCH_CORPUS", str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError, match="nowhere"):
        corpus.folder()


def test_the_drawn_corpus_has_every_format_and_every_end(tmp_path: Path) -> None:
    drawn = corpus.files(drawn_corpus.draw(tmp_path))
    found = asyncio.run(corpus.tried(drawn, Compression()))
    formats_seen = {one.result.source_format for one in found if one.result}
    assert formats_seen == formats.BY_NAME.keys()
    whole = [one for one in found if one.path.name.split()[0] not in {"cut", "damaged"}]
    assert sum(1 for one in whole if one.error) == 6
    assert {one.error.code for one in found if one.error} == {
        "empty_file",
        "truncated",
        "corrupt",
        "unsupported_format",
        "not_an_image",
    }
