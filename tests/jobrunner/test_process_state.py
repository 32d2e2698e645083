"""Working on an image leaves nothing behind in the process: no setting of Pillow, no limit, no filter."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from imagebatch_testing import process_state, psd_files
from imagebatch_testing.tiff_files import Page, tiff

Encode = Callable[..., bytes]


@pytest.fixture(scope="module")
def fresh_process() -> Iterator[ProcessPoolExecutor]:
    """A process in which nothing else runs: here the threads of other tests' servers open and close files."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def files(photo: Image.Image, encode: Encode) -> dict[str, bytes]:
    moving = {"save_all": True, "append_images": [photo.rotate(90)], "duration": 0}
    samples = [[tuple(256 * value for value in (x, y, 9)) for x in range(20)] for y in range(20)]
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "long " * 9000, zip=True)
    found = {
        name.lower(): encode(photo, name)
        for name in ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "ICO")
    }
    found |= {
        f"moving {name.lower()}": encode(photo, name, **moving) for name in ("PNG", "WEBP", "GIF", "AVIF")
    }
    found |= {
        "planar tiff": tiff(Page(samples=samples, photometric=2, bits=16, planar=2)),
        "rare tiff": tiff(Page(samples=samples, photometric=32803, bits=16)),
        "psd": psd_files.psd(psd_files.Document(planes=[[[9] * 20] * 20] * 3, mode=3)),
        "cmyk jpeg": encode(photo.convert("CMYK"), "JPEG"),
        "deep png": encode(photo.convert("L").convert("I;16"), "PNG"),
        "png with text": encode(photo, "PNG", pnginfo=text),
        "over the limit": encode(Image.new("L", (1001, 1000)), "PNG"),
        "far over the limit": encode(Image.new("L", (3000, 1000)), "WEBP"),
        "no image": b"<html>",
        "empty": b"",
        "rubbish": b"\x89PNG\r\n\x1a\n" + bytes(99),
    }
    return found | {
        f"cut {name}": data[: len(data) * 2 // 3] for name, data in found.items() if len(data) > 200
    }


OPTIONS = [{}, {"format": "jpeg", "progressive": True, "optimize": True}, {"format": "webp", "max_width": 50},
           {"format": "avif"}, {"format": "png", "strip_metadata": False}, {"target_bytes": 100}]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_call_leaves_no_trace_in_the_process(
    files: dict[str, bytes], options: dict[str, Any], fresh_process: ProcessPoolExecutor
) -> None:
    succeeded, traces = fresh_process.submit(process_state.traces, files, options).result()
    assert traces == {}
    assert 10 < succeeded < len(files) - 10


def test_nor_does_one_that_is_interrupted(
    files: dict[str, bytes], fresh_process: ProcessPoolExecutor
) -> None:
    three = {name: files[name] for name in ("jpeg", "avif", "planar tiff")}
    assert fresh_process.submit(process_state.traces_of_interrupted, three).result() == (3, {})


def test_a_trace_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = process_state.state()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    assert "PIL.Image.MAX_IMAGE_PIXELS" in process_state.changes(before, process_state.state())
