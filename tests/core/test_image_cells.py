"""An image's cells in the CSVs, and sums over images, by the rules written out."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.batch import shard
from imagebatch.csv import rows
from imagebatch.csv.image_cells import MAX_MESSAGE_CHARS, CellMaker
from imagebatch.csv.tally import Tally
from imagebatch.outcome import EXPLANATIONS, Counts, ErrorCode, ImageOutcome, Qualities

DELIMITERS = st.sampled_from(rows.DELIMITERS)
WORDS = st.one_of(
    st.sampled_from(["", "jpeg", "=1+1", "a;b", "a,b", "already_compressed", "-x", "\uff1dx", 'a"b']),
    st.text(st.sampled_from("a=+-@;,\"' \t\r\n\x00\u2028\xa0\uff1d\u00fc"), max_size=6),
)
NUMBERS = st.integers(-5, 10**9)
QUALITIES = st.none() | st.integers(0, 100)
STORED = st.builds(
    ImageOutcome,
    row=NUMBERS, slot=NUMBERS, name=st.none() | st.text("abc/.-;,", min_size=1, max_size=6), message=WORDS,
    bytes_in=NUMBERS, bytes_out=NUMBERS, format=WORDS, width=NUMBERS, height=NUMBERS, source_format=WORDS,
    source_quality=QUALITIES, quality=QUALITIES,
    quality_basis=st.sampled_from([None, "exact", "approximate", "assumed"]),
    notes=st.lists(
        st.sampled_from(["already_compressed", "kept_original", "=1+1", "a;b", "flattened"]), max_size=3
    ).map(tuple),
)  # fmt: skip
FAILED = st.builds(
    ImageOutcome, row=NUMBERS, slot=NUMBERS, error=st.sampled_from([*ErrorCode]), message=WORDS
)


def by_the_rules(outcome: ImageOutcome, delimiter: str) -> str:
    """The cells behind an image's links, each made by itself."""
    code, message = "", ""
    if outcome.error is not None:
        code = outcome.error.value
        message = rows.own_cell(outcome.message or EXPLANATIONS[outcome.error].cause)[:MAX_MESSAGE_CHARS]
    facts = [getattr(outcome, name) if outcome.succeeded else None for name in rows.REPORT_FACTS]
    cells = [shard.cell(fact) if isinstance(fact, int) else rows.own_cell(shard.cell(fact)) for fact in facts]
    return rows.record([code, message, *cells], "", delimiter)


def record_of(outcome: ImageOutcome) -> list[str]:
    head, record = shard.fragment_bytes([outcome])
    (found,) = shard.fragment_records([head, record])
    return found


@given(STORED | FAILED, DELIMITERS)
def test_cells_are_those_that_the_rules_make(outcome: ImageOutcome, delimiter: str) -> None:
    cells = CellMaker(delimiter).of_record(record_of(outcome))
    assert f"{cells.error}{delimiter}{cells.facts}" == by_the_rules(outcome, delimiter)
    assert (cells.name, cells.code) == (outcome.name or "", outcome.error)


@pytest.mark.parametrize("code", [ErrorCode.SHARD_FAILED, ErrorCode.NOT_TRIED])
def test_an_image_that_nothing_is_told_of_has_its_cells_too(code: ErrorCode) -> None:
    cells = CellMaker(";").missing(code)
    assert f"{cells.error};{cells.facts}" == by_the_rules(ImageOutcome(row=1, slot=1, error=code), ";")


@pytest.mark.parametrize(
    "change", [{5: "many"}, {6: ""}, {8: "1.5"}, {11: "x"}, {12: "x"}, {3: "no_such_code"}], ids=str
)
def test_a_record_that_is_no_outcome_is_an_error(change: dict[int, str]) -> None:
    record = record_of(ImageOutcome(row=1, slot=1, name="x.jpg"))
    changed = [change.get(place, cell) for place, cell in enumerate(record)]
    for wrong in (changed, record[:-1], [*record, ""]):
        with pytest.raises(ValueError, match=r"\w"):
            CellMaker(",").of_record(wrong)


@given(st.lists(STORED | FAILED, max_size=12))
def test_sums_are_those_of_the_images(outcomes: list[ImageOutcome]) -> None:
    tally, counts = Tally(), Counts()
    for outcome in outcomes:
        cells = CellMaker(",").of_record(record_of(outcome))
        if cells.code is None:
            tally.add_stored(cells.bytes_in, cells.bytes_out, cells.quality)
        else:
            tally.add_missing(cells.code)
        counts = counts.with_outcome(outcome)
    assert tally.counts == counts
    assert tally.qualities == qualities_of(outcomes)
    assert sum(tally.errors.values()) == counts.failed
    assert list(tally.errors.values()) == sorted(tally.errors.values(), reverse=True)


def qualities_of(outcomes: list[ImageOutcome]) -> Qualities:
    known = [one for one in outcomes if one.quality_basis is not None and one.source_quality is not None]
    encoded = [one.quality for one in known if one.quality is not None]
    by_basis = [one.quality_basis for one in known]
    return Qualities(
        exact=by_basis.count("exact"),
        approximate=by_basis.count("approximate"),
        assumed=by_basis.count("assumed"),
        kept=sum(bool({"already_compressed", "kept_original"} & {*one.notes}) for one in known),
        encoded=len(encoded),
        source_sum=sum(one.source_quality or 0 for one in known),
        encoded_sum=sum(encoded),
    )


def test_means_of_nothing_are_nothing() -> None:
    assert (Qualities().source_mean, Qualities(assumed=1, source_sum=20).encoded_mean) == (None, None)


@given(st.text(st.sampled_from("ab,;\t\"\r\n |'\x0b\x85\u2028"), max_size=8), DELIMITERS)
def test_a_cell_is_quoted_where_rfc_4180_asks_for_it(cell: str, delimiter: str) -> None:
    asks = re.search(rf'["{delimiter}\r\n]', cell) is not None
    doubled = cell.replace('"', '""')
    assert rows.quoting(delimiter)(cell) == (f'"{doubled}"' if asks else cell)
