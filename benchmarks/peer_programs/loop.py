"""The loop that everybody writes: 32 threads, httpx, Pillow, minio. loop.py WORK QUALITY [optimize]

WORK has links.json, a list of URLs, and s3.json: endpoint, access, secret, bucket. Writes loop/NUMBER.jpg.
"""

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from minio import Minio
from PIL import Image

THREADS = 32


def main(work: Path, quality: int, *, optimize: bool) -> None:
    s3 = json.loads((work / "s3.json").read_text())
    links = json.loads((work / "links.json").read_text())
    store = Minio(
        s3["endpoint"], access_key=s3["access"], secret_key=s3["secret"], secure=False, region="us-east-1"
    )
    client = httpx.Client(limits=httpx.Limits(max_connections=THREADS))

    def compress(number: int) -> None:
        image = Image.open(io.BytesIO(client.get(links[number]).raise_for_status().content))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, optimize=optimize)
        length = file.tell()
        file.seek(0)
        store.put_object(s3["bucket"], f"loop/{number}.jpg", file, length, content_type="image/jpeg")

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(compress, range(len(links))):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), optimize="optimize" in sys.argv)
