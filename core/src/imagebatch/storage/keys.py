"""Every key on S3, in one place.

Anonymous readers may get `images/*` and `csvfile/*_output.csv`; everything else is private. An image's
folder is a hash of the request id, so that the link of one image does not lead to the batch's catalogue.
"""

import hashlib
import re
from dataclasses import dataclass

IMAGES = "images/"
CSV_FILES = "csvfile/"
BATCHES = "batches/"
IMPORTS = "imports/"
DATABASES = "databases/"
OUTPUT_SUFFIX = "_output.csv"
STORE_ID = "store-id"
READY = f"{BATCHES}ready"

_CSV = re.compile(rf"{CSV_FILES}(?P<request_id>[^/]+)_(output|errors|report)\.csv")
_UPLOAD = re.compile(r"input-(?P<upload>[0-9a-f]{32})\.csv")


def image_prefix(request_id: str) -> str:
    return f"{IMAGES}{image_folder(request_id)}/"


def image_folder(request_id: str) -> str:
    """The name of a batch's folder; SQL makes the same (`imagebatch.records.retention_statements`)."""
    return hashlib.sha256(f"images:{request_id}".encode()).hexdigest()[:32]


def image_name(row: int, slot: int, extension: str) -> str:
    """The object's name under the batch's prefix; `row` and `slot` count from 1, `extension` has no dot."""
    return f"{row:07d}-{slot:03d}.{extension}"


def output(request_id: str) -> str:
    return f"{CSV_FILES}{request_id}{OUTPUT_SUFFIX}"


def errors(request_id: str) -> str:
    return f"{CSV_FILES}{request_id}_errors.csv"


def image_report(request_id: str) -> str:
    """What became of each image: private, for it holds the input's links."""
    return f"{CSV_FILES}{request_id}_report.csv"


def database_mark(database: str) -> str:
    """What a database leaves in the bucket that its batches are in: `imagebatch.batch.sweep`."""
    return f"{DATABASES}{database}.json"


def is_input(request_id: str, key: str) -> bool:
    """Whether a key under a batch's prefix is what an upload writes, before anything runs."""
    return "/" not in key.removeprefix(batch_prefix(request_id))


def request_of_csv(key: str) -> str | None:
    """Whose CSV a key names; None when it is none of ours."""
    found = _CSV.fullmatch(key)
    return found["request_id"] if found is not None else None


def batch_prefix(request_id: str) -> str:
    return f"{BATCHES}{request_id}/"


@dataclass(frozen=True, slots=True)
class InputKeys:
    """Where a batch's canonical CSV and its plan are.

    Two that write an input for the same request never write to the same CSV, so that neither can spoil the
    other's, nor remove it. Which one counts: for uploads the row says it, for snapshots of a source the plan,
    which the first writes.
    """

    canonical: str
    plan: str


def input_of_upload(request_id: str, upload: str) -> InputKeys:
    """An upload's own; `upload` is 32 hex digits, or empty for the plain names."""
    return InputKeys(canonical_input(request_id, upload), plan(request_id, upload))


def input_of_snapshot(request_id: str, snapshot: str) -> InputKeys:
    """A snapshot's own CSV, 32 hex digits of `snapshot` in its name, and the plan that the first writes."""
    return InputKeys(canonical_input(request_id, snapshot), plan(request_id))


def canonical_input(request_id: str, upload: str = "") -> str:
    return f"{batch_prefix(request_id)}input{_tail(upload)}.csv"


def upload_of_input(request_id: str, key: str) -> str | None:
    """Which upload's canonical CSV a key names; None when it is none of this request's."""
    if key == canonical_input(request_id):
        return ""
    name = _UPLOAD.fullmatch(key.removeprefix(batch_prefix(request_id)))
    return name["upload"] if name is not None else None


def imports_prefix(namespace: str) -> str:
    """Where the owners of a namespace put CSVs for their ImageBatches to read; nobody else's batch may."""
    return f"{IMPORTS}{namespace}/"


def plan(request_id: str, upload: str = "") -> str:
    return f"{batch_prefix(request_id)}plan{_tail(upload)}.json"


def _tail(name: str) -> str:
    return f"-{name}" if name else ""


def attempt_prefix(request_id: str, attempt: int) -> str:
    return f"{batch_prefix(request_id)}a{attempt}/"


def fragment(request_id: str, attempt: int, shard: int, run: str) -> str:
    return f"{attempt_prefix(request_id, attempt)}{shard:05d}.{run}.csv"


def report(request_id: str, attempt: int, shard: int) -> str:
    return f"{attempt_prefix(request_id, attempt)}{shard:05d}.json"


def progress(request_id: str, attempt: int, shard: int) -> str:
    return f"{attempt_prefix(request_id, attempt)}{shard:05d}.progress.json"


def probe(request_id: str, attempt: int) -> str:
    """What a driver stores to see whether S3 still does."""
    return f"{attempt_prefix(request_id, attempt)}probe.txt"


def part(request_id: str, attempt: int, shard: int, number: int) -> str:
    """A part of what a shard has stored so far: see `imagebatch.batch.checkpoint`."""
    return f"{attempt_prefix(request_id, attempt)}{shard:05d}.part-{number:05d}.csv"


def shard_of_report(key: str) -> int | None:
    """The shard that a key under an attempt's prefix reports on; None for a shard's other objects."""
    stem, _, suffix = key.rpartition("/")[2].partition(".")
    return int(stem) if suffix == "json" and stem.isdigit() else None
