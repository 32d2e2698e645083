"""What is said of a finished batch."""

import os
from pathlib import Path
from typing import Any

import pytest

from imagebatch.csv import rows
from imagebatch_cli.results import (
    Failure,
    Saved,
    UnwritableError,
    Wanted,
    check,
    output_links,
    summary,
)
from imagebatch_client import Batch
from imagebatch_client.connection import replacing


def batch(**fields: Any) -> Batch:
    document = {
        "request_id": "r1",
        "status": "complete",
        "phase": "Complete",
        "error": None,
        "images": {"total": 3, "succeeded": 2, "failed": 1, "skipped": 0},
        "bytes": {"in": 2_000_000, "out": 500_000},
        **fields,
    }
    return Batch.read(document)


FAILURE = Failure("http_status", "http://a/1.jpg", "HTTP 404")


def test_the_summary_says_what_a_person_wants_to_know() -> None:
    saved = Saved(Path("o.csv"), Path("e.csv"), Path("copies"), Path("r.csv"))
    text = summary(batch(), saved, 1.5, [FAILURE])
    for part in (
        "2 of 3 images done, 1 failed",
        "2.00 MB before, 0.50 MB after: 75% smaller",
        "2.0 images/s",
        "http_status",
        "http://a/1.jpg",
        "HTTP 404",
        "correct the link",
        "o.csv",
        "e.csv",
        "r.csv",
        "copies",
    ):
        assert part in text


def test_many_failures_are_cut_short() -> None:
    made = batch(images={"total": 40, "succeeded": 0, "failed": 40, "skipped": 0})
    text = summary(made, Saved(None, Path("e.csv")), 1, [FAILURE] * 12)
    assert "and 28 more, all in e.csv" in text


def test_failures_that_are_not_listed_are_counted_and_a_newer_servers_code_needs_no_advice() -> None:
    text = summary(batch(failures={"http_status": 1, "eaten_by_dog": 2}))
    assert "1 http_status: " in text
    assert "2 eaten_by_dog" in text


def test_a_batch_without_bytes_divides_by_nothing() -> None:
    text = summary(batch(bytes={"in": 0, "out": 0}, error="no image succeeded"))
    assert "no image succeeded" in text
    assert "smaller" not in text


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_results_are_read_with_the_delimiter_of_the_users_file(tmp_path: Path, delimiter: str) -> None:
    output = tmp_path / "o.csv"
    output.write_text("\ufeff" + rows.record([*rows.COLUMNS, rows.OUTPUT_COLUMN], delimiter=delimiter)
                      + rows.record(["1", "a", "x", "http://a,http://b"], delimiter=delimiter))  # fmt: skip
    assert list(output_links(output)) == ["http://a", "http://b"]


def test_output_links_leave_failed_images_out(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    output.write_text('\ufeffSerial Number,Output Image Urls\n1,"http://a,,http://b"\n2,\n', encoding="utf-8")
    assert list(output_links(output)) == ["http://a", "http://b"]


@pytest.mark.parametrize(
    ("output", "errors", "said"),
    [
        ("/proc/nope/o.csv", "e.csv", "can't be made"),
        ("same.csv", "./same.csv", "the same file"),
        ("folder", "e.csv", "is a folder"),
    ],
)
def test_what_can_not_be_written_is_told_before_the_work(
    output: str, errors: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnwritableError, match=said):
        check(Wanted(Path(output), Path(errors)))


def _fail_halfway(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise ConnectionError


def test_a_file_is_replaced_whole_and_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("old")
    with pytest.raises(ConnectionError):
        _fail_halfway(path)
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("target")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (link, pipe):
        with replacing(path) as file:
            file.write(b"new")
    assert (link.is_symlink(), link.read_text()) == (True, "new")
    assert (pipe.is_fifo(), os.read(reader, 10)) == (True, b"new")
    os.close(reader)
