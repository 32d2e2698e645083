"""The compression options, as forms and objects write them."""

from typing import Any

import pytest

from imagebatch.batch.lifecycle import Desired
from imagebatch.batch.spec import BatchSpec
from imagebatch.errors import InputRefusedError
from imagebatch.options import Compression


def test_nothing_given_is_half_the_quality() -> None:
    made = Compression.parse({})
    assert (made.quality, made.is_relative, made.quality_number) == ("50%", True, 50)


def test_values_may_be_text_or_typed() -> None:
    text = {
        "quality": " 60 ",
        "minQuality": "0",
        "format": "WebP",
        "maxWidth": "800",
        "stripMetadata": "False",
    }
    typed = {"quality": 60, "minQuality": 0, "format": "webp", "maxWidth": 800, "stripMetadata": False}
    assert Compression.parse(text) == Compression.parse(typed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quality", "0"), ("quality", "101%"), ("quality", "high"), ("quality", "5.5"), ("minQuality", "-1"),
        ("minQuality", True), ("maxWidth", "0"), ("maxHeight", "70000"), ("targetBytes", "1e5"), ("format", "gif"), ("optimize", "yes"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(InputRefusedError) as caught:
        Compression.parse({name: value})
    assert caught.value.problems[0].code == "invalid_option"
    assert caught.value.problems[0].message.startswith(f"{name}: ")


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InputRefusedError) as caught:
        Compression.parse({"quality": "x", "colour": "red"})
    assert {problem.code for problem in caught.value.problems} == {"invalid_option", "unknown_option"}


def test_a_spec_comes_back_as_it_was() -> None:
    spec = BatchSpec(
        compression=Compression(quality="60", max_width=100),
        rows_per_shard=7,
        desired=Desired(parallelism=2, max_failed_percent=5, deadline_seconds=60),
    )
    assert BatchSpec.from_spec(spec.as_spec()) == spec
    assert BatchSpec.from_spec({}) == BatchSpec()
