"""The crates of jobrunner/native: their examples, built as the library is, and the instructions that these take."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path

from imagebatch_testing.needed import give_up

CRATES = Path(__file__).resolve().parents[3] / "jobrunner" / "native"
FLAGS = ("--edition=2024", "-Copt-level=3", "-Ccodegen-units=1", "-Cpanic=abort", "-g")


def example(crate: str, name: str, folder: Path) -> Path:
    """The program, built into the folder."""
    library, program = folder / f"lib{crate}.rlib", folder / name
    rustc = runpy.run_path(str(CRATES / "build.py"))["compiler"]()
    compile_library = [rustc, f"--crate-name={crate}", "--crate-type=rlib", *FLAGS]
    subprocess.run([*compile_library, "-o", library, CRATES / crate / "src" / "lib.rs"], check=True)
    external = ["--extern", f"{crate}={library}", "-Clto=fat"]
    source = CRATES / crate / "examples" / f"{name}.rs"
    subprocess.run([rustc, *FLAGS, *external, "-o", program, source], check=True)
    return program


def instructions(command: list[str | Path], folder: Path) -> int:
    """How many a program takes in user mode, by callgrind, which writes into the folder."""
    if shutil.which("valgrind") is None:
        give_up("there is no valgrind")
    counting = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
    ran = subprocess.run([*counting, *map(str, command)], check=True, capture_output=True, text=True)
    return int(re.findall(r"Collected : ([0-9]+)", ran.stderr)[0])
