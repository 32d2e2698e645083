"""The loop that everybody writes: 32 threads, httpx, Pillow, minio. loop.py WORK QUALITY [OPTIONS]

WORK has links.json, a list of URLs, and s3.json: endpoint, access, secret, bucket. Writes loop/NUMBER.jpg.
`--width` makes pictures smaller as Pillow's tutorial does, by `thumbnail`.
"""

import argparse
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from minio import Minio
from PIL import Image

THREADS = 32


def main(work: Path, quality: int, *, optimize: bool, width: int | None) -> None:
    s3 = json.loads((work / "s3.json").read_text())
    links = json.loads((work / "links.json").read_text())
    store = Minio(
        s3["endpoint"], access_key=s3["access"], secret_key=s3["secret"], secure=False, region="us-east-1"
    )
    client = httpx.Client(limits=httpx.Limits(max_connections=THREADS))

    def compress(number: int) -> None:
        image = Image.open(io.BytesIO(client.get(links[number]).raise_for_status().content))
        if width:
            image.thumbnail((width, width))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, optimize=optimize)
        length = file.tell()
        file.seek(0)
        store.put_object(s3["bucket"], f"loop/{number}.jpg", file, length, content_type="image/jpeg")

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(compress, range(len(links))):
            pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("quality", type=int)
    parser.add_argument("--optimize", action="store_true")
    parser.add_argument("--width", type=int)
    given = parser.parse_args()
    main(given.work, given.quality, optimize=given.optimize, width=given.width)
