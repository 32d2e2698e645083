"""Build the codec processes' library by rustc alone: python build.py [LIBRARY [checked]].

Used by `make`, by the wheel's build and by the container image's. Cargo is for its tests and lints only:
crates without dependencies need no package manager. Needs nothing but the standard library.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent / "src" / "imagebatch_jobrunner" / "decoder" / "libimagebatch.so"
CRATES = ("pixels", "requantiser")
MISSING = "No rustc 1.85 or newer: Pillow alone recompresses pictures, which takes several times as long."
FLAGS = ("--edition=2024", "-Copt-level=3", "-Ccodegen-units=1", "-Cpanic=abort", "-Cstrip=symbols")
OLDEST = (1, 85)


def main() -> None:
    library = Path(sys.argv[1]) if len(sys.argv) > 1 else LIBRARY
    if not build(library, checked="checked" in sys.argv):
        print(MISSING)  # noqa: T201


def build(library: Path, *, checked: bool = False) -> bool:
    """Build it, unless it is newer than its sources. False where it is not there and there is no compiler.

    `checked`: with checks of arithmetic, for tests.
    """
    flags = [*FLAGS, "-Coverflow-checks=on", "-Cdebug-assertions=on"] if checked else FLAGS
    sources = [Path(__file__), *HERE.glob("*/src/*.rs")]
    if library.exists() and library.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return True
    rustc = compiler()
    if rustc is None:
        return library.exists()  # from a build stage that had one
    with tempfile.TemporaryDirectory(dir=library.parent) as name:
        made = Path(name)
        safe = {crate: made / f"lib{crate}.rlib" for crate in CRATES}
        for crate, made_as in safe.items():
            _compile(rustc, HERE / crate / "src" / "lib.rs", crate, "rlib", *flags, "-o", made_as)
        externals = [word for crate in CRATES for word in ("--extern", f"{crate}={safe[crate]}")]
        foreign = made / library.name
        _compile(
            rustc, HERE / "ffi" / "src" / "lib.rs", "imagebatch_ffi", "cdylib", *flags, "-Clto=fat",
            *externals, "-o", foreign,
        )  # fmt: skip
        foreign.replace(library)
    return True


def compiler() -> str | None:
    """rustc, where it is new enough; also where rustup puts it, which is not in every PATH."""
    rustc = shutil.which("rustc") or shutil.which("rustc", path=str(Path.home() / ".cargo" / "bin"))
    if rustc is None:
        return None
    told = subprocess.run([rustc, "--version"], capture_output=True, text=True, check=False).stdout.split()
    is_new_enough = len(told) > 1 and tuple(map(int, told[1].split(".")[:2])) >= OLDEST
    return rustc if is_new_enough else None


def _compile(rustc: str, source: Path, name: str, kind: str, *words: str | Path) -> None:
    subprocess.run([rustc, f"--crate-name={name}", f"--crate-type={kind}", *words, source], check=True)


if __name__ == "__main__":
    main()
