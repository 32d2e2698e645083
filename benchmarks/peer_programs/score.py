"""How like its source a file is: prints SSIMULACRA2, the mean of all pairs. score.py [SOURCE FILE] …"""

import sys
import tempfile
from pathlib import Path
from statistics import fmean

from PIL import Image
from ssimulacra2 import compute_ssimulacra2


def main(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pairs = zip(paths[::2], paths[1::2], strict=True)
        print(fmean(score(Path(source), Path(file), Path(folder)) for source, file in pairs))


def score(source: Path, file: Path, folder: Path) -> float:
    """By way of files without loss, which its library reads in RGB."""
    plain = [folder / "source.png", folder / "file.png"]
    for path, target in zip((source, file), plain, strict=True):
        with Image.open(path) as image:
            image.convert("RGB").save(target, compress_level=0)
    return float(compute_ssimulacra2(*map(str, plain)))


if __name__ == "__main__":
    main(sys.argv[1:])
