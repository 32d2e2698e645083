"""The table of formats: each line has its file, and each file its line."""

from pathlib import Path
from typing import get_args

from imagebatch import options
from imagebatch_jobrunner import formats
from imagebatch_jobrunner.decoder.formats import encoder, format, table  # noqa: A004 - the module's name

NO_FORMATS = {"__init__", "encoder", "format", "table"}


def test_each_file_of_a_format_has_a_line_in_the_table() -> None:
    files = {path.stem for path in Path(table.__file__).parent.glob("*.py")} - NO_FORMATS
    assert files == formats.BY_NAME.keys() == table.BY_NAME.keys()


def test_names_types_and_extensions_are_each_of_one_format() -> None:
    for values in zip(*((one.name, one.content_type, one.extension) for one in formats.FORMATS), strict=True):
        assert len(set(values)) == len(values)
    assert all(one.content_type.startswith("image/") for one in formats.FORMATS)
    assert "image/svg+xml" not in {one.content_type for one in formats.FORMATS}  # it could run scripts


def test_each_format_that_may_be_asked_for_can_be_written() -> None:
    asked = set(get_args(options.Format)) - {"auto", "keep"}
    assert asked <= {one.name for one in table.ALL if one.encoder is not None}


def test_a_format_that_says_nothing_of_memory_is_counted_as_most_are() -> None:
    assert {one.decoding_bytes for one in table.ALL} >= {format.DECODING_BYTES}
    encoders = [one.encoder for one in table.ALL if one.encoder is not None]
    assert all(one.transparent_bytes >= one.opaque_bytes >= encoder.ENCODING_BYTES for one in encoders)
