"""img2dataset on two processes of 32 threads, to files. with_img2dataset.py WORK QUALITY"""

import sys
from pathlib import Path

from img2dataset import download

if __name__ == "__main__":
    work, quality = Path(sys.argv[1]), int(sys.argv[2])
    download(
        processes_count=2,
        thread_count=32,
        url_list=str(work / "links.txt"),
        image_size=0,
        resize_mode="no",
        encode_quality=quality,
        output_folder=str(work / "img2dataset"),
        output_format="files",
        input_format="txt",
        number_sample_per_shard=150,
        enable_wandb=False,
        retries=1,
        disallowed_header_directives=[],
    )
