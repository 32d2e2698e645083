"""What is said of a finished batch."""

from pathlib import Path
from typing import Any

from imagebatch_cli.results import Saved, output_links, summary


def status(**fields: Any) -> dict[str, Any]:
    return {
        "phase": "Complete",
        "error": None,
        "images": {"total": 3, "succeeded": 2, "failed": 1},
        "bytes": {"in": 2_000_000, "out": 500_000},
        **fields,
    }


def test_the_summary_says_what_a_person_wants_to_know(tmp_path: Path) -> None:
    errors = tmp_path / "e.csv"
    errors.write_text(
        "Serial Number,Product Name,Input Image Urls,error_code,error\n1,Shirt,http://a/1.jpg,http_status,HTTP 404\n"
    )
    text = summary(status(), Saved(Path("o.csv"), errors, Path("copies")), seconds=1.5)
    for part in (
        "2 of 3 images done, 1 failed",
        "2.00 MB before, 0.50 MB after: 75% smaller",
        "2.0 images/s",
    ):
        assert part in text
    for part in (
        "http_status",
        "http://a/1.jpg",
        "HTTP 404",
        "correct the link",
        "o.csv",
        str(errors),
        "copies",
    ):
        assert part in text


def test_many_failures_are_cut_short(tmp_path: Path) -> None:
    errors = tmp_path / "e.csv"
    lines = "1,Shirt,http://a/1.jpg,timeout,slow\n" * 40
    errors.write_text(f"Serial Number,Product Name,Input Image Urls,error_code,error\n{lines}")
    assert f"and 28 more, all in {errors}" in summary(status(), Saved(None, errors), seconds=1)


def test_a_batch_without_bytes_divides_by_nothing() -> None:
    text = summary(status(bytes={"in": 0, "out": 0}, error="no image succeeded"), Saved(), seconds=0)
    assert "no image succeeded" in text
    assert "smaller" not in text


def test_output_links_leave_failed_images_out(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    output.write_text('\ufeffSerial Number,Output Image Urls\n1,"http://a,,http://b"\n2,\n', encoding="utf-8")
    assert list(output_links(output)) == ["http://a", "http://b"]
