"""How many days are kept, as users write them, and when a missing row proves something. Pure."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from imagebatch.batch.retention import Amount, KeepDays, Kind, Policy
from imagebatch.batch.spec import BatchSpec
from imagebatch.batch.sweep import Mark, distrust
from imagebatch.errors import InputRefusedError
from imagebatch.records.retentions import Sweep


@pytest.mark.parametrize(
    ("given", "days"),
    [(7, 7.0), ("7", 7.0), (0, 0.0), ("0.5", 0.5), (1e-5, 1e-5), (" 36500 ", 36500.0)],
)
def test_days_are_numbers_of_any_kind(given: object, days: float) -> None:
    assert KeepDays.parse({"images": given}).images == days
    assert KeepDays.of_form({"keepImagesDays": given, "quality": "50%"}) == KeepDays(images=days)


@pytest.mark.parametrize("given", [-1, "a week", "", True, "nan", "inf", 36_501, None, "1" * 30])
def test_what_is_no_number_of_days_is_refused_by_its_name(given: object) -> None:
    with pytest.raises(InputRefusedError, match=r"keepDays\.outputs: .* is not a number of days"):
        KeepDays.parse({"outputs": given})
    with pytest.raises(InputRefusedError, match=r"keepOutputsDays: "):
        KeepDays.of_form({"keepOutputsDays": given})


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="known are workingFiles, outputs, images"):
        KeepDays.parse({"pictures": 3})


def test_days_stay_as_they_are_in_a_spec() -> None:
    spec = BatchSpec(keep=KeepDays(working_files=1.5, images=0.0))
    assert spec.as_spec()["keepDays"] == {"workingFiles": 1.5, "images": 0.0}
    assert BatchSpec.from_spec(spec.as_spec()) == spec
    assert BatchSpec.from_spec({}).keep == KeepDays()


def test_the_default_is_the_installations() -> None:
    policy = Policy(keep=KeepDays(working_files=7.0, outputs=0.0), orphan_days=2.0)
    assert [policy.default_days(kind) for kind in Kind] == [7.0, 0.0, 0.0, 2.0]


def test_amounts_add_up() -> None:
    assert Amount(2, 10) + Amount(1, 5) == Amount(3, 15)
    assert Amount(2, 10).without(Amount(1, 5)) == Amount(1, 5)
    assert not Amount()


SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SWEEP = Sweep("db-1", 4, SINCE, has_rows=True, server="77/1", until=SINCE)


OURS = Mark("db-1", 4, "77/1")


@pytest.mark.parametrize(
    ("marks", "sweep", "reason"),
    [
        ([], SWEEP, ""),
        ([OURS], SWEEP, ""),
        ([replace(OURS, number=3)], SWEEP, ""),
        ([replace(OURS, server="")], SWEEP, ""),
        ([Mark("db-2", 1, "77/1")], SWEEP, "another database"),
        ([OURS, Mark("db-2", 1, "77/1")], SWEEP, "another database"),
        ([replace(OURS, number=5)], SWEEP, "restored from a backup"),
        ([replace(OURS, server="78/1")], SWEEP, "another server"),
        ([replace(OURS, server="77/2")], SWEEP, "failed over"),
        ([], replace(SWEEP, has_rows=False), "no batch at all"),
    ],
    ids=[
        "first",
        "same",
        "crashed",
        "server-unknown",
        "other",
        "shared",
        "backup",
        "moved",
        "promoted",
        "empty",
    ],
)
def test_a_missing_row_proves_nothing_where_rows_may_be_lost(
    marks: list[Mark], sweep: Sweep, reason: str
) -> None:
    found = distrust(marks, sweep)
    assert bool(found) == bool(reason)
    assert reason in found
