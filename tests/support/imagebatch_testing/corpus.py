"""Folders of image files that others made, and what becomes of each file.

The folder is IMAGEBATCH_CORPUS, or a `shared/corpus` beside this checkout. As a program, with a folder or
without, it prints the table that stands in docs/formats.md.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebatch import logs
from imagebatch.options import Compression
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import CodecLimits, PictureLimits

_CHECKOUT = Path(__file__).parents[3]
_KEPT = frozenset({"already_compressed", "kept_original"})


@dataclass(frozen=True)
class Tried:
    """A file and what became of it: a result, or an error."""

    path: Path
    data: bytes
    result: Compressed | None
    error: CodecError | None


def folder() -> Path | None:
    """Where the corpus is; None where there is none. Raises NotADirectoryError for one that is named and not there."""
    named = os.environ.get("IMAGEBATCH_CORPUS")
    found = Path(named) if named else documented_folder()
    if named and not found.is_dir():
        raise NotADirectoryError(f"IMAGEBATCH_CORPUS is {named}, which is no folder")
    return found if found.is_dir() else None


def documented_folder() -> Path:
    """Where the corpus is whose table stands in docs/formats.md."""
    return _CHECKOUT.parent / "shared" / "corpus"


def files(of: Path) -> list[Path]:
    return sorted(path for path in of.rglob("*") if path.is_file())


async def tried(paths: Iterable[Path], options: Compression, processes: int = 2) -> list[Tried]:
    """Every file through real codec processes, in the order given."""
    async with CodecPool(CodecLimits(processes=processes), PictureLimits()) as pool:

        async def one(path: Path, data: bytes) -> Tried:
            try:
                return Tried(path, data, await pool.compress(data, options), None)
            except CodecError as error:
                return Tried(path, data, None, error)

        return list(await asyncio.gather(*(one(path, path.read_bytes()) for path in paths)))


def table(outcomes: Sequence[Tried]) -> str:
    """Markdown: per kind of file how many there are, and how they ended."""
    kinds: dict[str, list[Tried]] = {}
    for outcome in outcomes:
        kinds.setdefault(_kind(outcome), []).append(outcome)
    rows = [_row(kind, kinds[kind]) for kind in sorted(kinds, key=lambda kind: (-len(kinds[kind]), kind))]
    head = ("| file | number | made smaller | kept | error |", "|---|---|---|---|---|")
    return "\n".join([*head, *rows, _row("all", outcomes)]) + "\n"


def _kind(outcome: Tried) -> str:
    if outcome.result is not None:
        return outcome.result.source_format
    assert outcome.error is not None
    if outcome.error.code in {"not_an_image", "unsupported_format"}:
        words = outcome.error.message.removeprefix("the file is ")
        return words.partition(" of a rare kind")[0].lower()
    suffix = outcome.path.suffix.lower().lstrip(".")
    return {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix) or "unnamed"


def _row(kind: str, outcomes: Sequence[Tried]) -> str:
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    kept = sum(1 for result in results if _KEPT.intersection(result.notes))
    errors = Counter(outcome.error.code for outcome in outcomes if outcome.error is not None)
    told = ", ".join(f"`{code}` {number}" for code, number in sorted(errors.items()))
    return f"| {kind} | {len(outcomes)} | {len(results) - kept} | {kept} | {told} |"


if __name__ == "__main__":
    logs.configure("info")
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else folder()
    if place is None:
        sys.exit("no corpus: name a folder, or set IMAGEBATCH_CORPUS")
    print(table(asyncio.run(tried(files(place), Compression()))), end="")  # noqa: T201 - it is its output
