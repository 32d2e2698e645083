"""The options that several commands have, of `imagebatch` and of `kubectl imagebatch`.

A command that uploads has `upload_options`; their values come by the names of the API's form, and `form_of`
checks them. To add an option of uploads: write it into `_FILE`, `_COMPRESSION` or `_BATCH`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from imagebatch.batch.retention import MAX_DAYS
from imagebatch.csv import columns, encodings
from imagebatch.csv.columns import PRESETS, ColumnOptions
from imagebatch.csv.encodings import ENCODINGS
from imagebatch.options import OPTION_NAMES, Compression, Format

F = TypeVar("F", bound=Callable[..., object])
Option = Callable[[F], F]
Given = Mapping[str, str | float | bool | None]

CSV_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

data_option = click.option("--data", type=FOLDER, help="The data folder [IMAGEBATCH_DATA, .imagebatch].")
server_option = click.option(
    "--server",
    metavar="URL",
    help="The API [IMAGEBATCH_SERVER; else the one of the data folder, if it runs; else port 8080 here].",
)
token_option = click.option(
    "--token", metavar="TOKEN", help="The token for it [IMAGEBATCH_TOKEN, which `ps` does not show]."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the document as the API gives it, on stdout."
)
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the status document at each change, one a line."
)
output_option = click.option("--output", type=NEW_FILE, help="Save the output CSV here.")
errors_option = click.option("--errors", type=NEW_FILE, help="Save what failed here.")
report_option = click.option("--report", type=NEW_FILE, help="Save what became of each image here.")
images_option = click.option("--images", type=FOLDER, help="Save copies of the images here.")

# How the file is read: what the server, or ingest, must know before its first byte.
_FILE = (
    click.option(
        "--columns",
        metavar="COLUMNS",
        help="Which columns hold what: 'serial=Handle,name=Title,links=Image Src', several columns with +.",
    ),
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS), case_sensitive=False),
        help="The columns of a shop's export, in place of --columns.",
    ),
    click.option(
        "--in-place/--no-in-place",
        "inPlace",
        default=None,
        help="In the output CSV, write the new links over the old ones, too; or not (default).",
    ),
    click.option(
        "--encoding",
        metavar="NAME",
        help=f"The CSV's encoding, where its bytes do not show it: {', '.join(ENCODINGS)}.",
    ),
)

_COMPRESSION = (
    click.option(
        "--quality", metavar="VALUE", help="50% of the source's own quality (default), or 1 to 100 absolute."
    ),
    click.option(
        "--min-quality", "minQuality", metavar="NUMBER", help="The floor of a relative quality (default 30)."
    ),
    click.option(
        "--target-bytes",
        "targetBytes",
        metavar="NUMBER",
        help="Lower the quality, down to that floor, until a file is no longer than this.",
    ),
    click.option(
        "--format",
        type=click.Choice(get_args(Format), case_sensitive=False),
        help="The format of the results (default auto).",
    ),
    click.option(
        "--max-width", "maxWidth", metavar="NUMBER", help="Make wider images smaller, to this many pixels."
    ),
    click.option(
        "--max-height", "maxHeight", metavar="NUMBER", help="Make taller images smaller, to this many pixels."
    ),
    click.option(
        "--strip-metadata/--keep-metadata",
        "stripMetadata",
        default=None,
        help="Remove EXIF, GPS and XMP (default), or keep them.",
    ),
    click.option(
        "--progressive/--no-progressive",
        "progressive",
        default=None,
        help="Write progressive JPEGs, or not (default).",
    ),
    click.option(
        "--optimize/--no-optimize",
        "optimize",
        default=None,
        help="Smaller files for twice the time, or not (default).",
    ),
)

BOUNDS = {
    "rowsPerShard": (1, 100_000),
    "parallelism": (1, 1_000),
    "maxFailedPercent": (0, 100),
    "deadlineSeconds": (1, 31_536_000),
}
"""Of the numbers of a batch, as the API has them."""

DAYS = click.FloatRange(0, MAX_DAYS)

_BATCH = (
    click.option(
        "--rows-per-shard",
        "rowsPerShard",
        type=click.IntRange(*BOUNDS["rowsPerShard"]),
        help="The rows that a worker takes at once (default 500).",
    ),
    click.option(
        "--parallelism",
        type=click.IntRange(*BOUNDS["parallelism"]),
        help="How many workers run at once (default 4).",
    ),
    click.option(
        "--max-failed-percent",
        "maxFailedPercent",
        type=click.IntRange(*BOUNDS["maxFailedPercent"]),
        help="End the batch when more images have failed (default 100).",
    ),
    click.option(
        "--deadline-seconds",
        "deadlineSeconds",
        type=click.IntRange(*BOUNDS["deadlineSeconds"]),
        help="End the batch when it takes longer.",
    ),
    click.option(
        "--keep-working-files-days",
        "keepWorkingFilesDays",
        type=DAYS,
        help="Days for which its working files are kept; then it can't be retried. 0: for ever.",
    ),
    click.option(
        "--keep-outputs-days",
        "keepOutputsDays",
        type=DAYS,
        help="Days for which its CSVs are kept on the server. 0: for ever.",
    ),
    click.option(
        "--keep-images-days",
        "keepImagesDays",
        type=DAYS,
        help="Days for which its images are kept on the server. 0: for ever.",
    ),
    click.option("--webhook-url", "webhook_url", metavar="URL", help="Where to POST the result."),
)


def upload_options(command: F) -> F:
    """The options of an upload."""
    return _with(command, [*_FILE, *_COMPRESSION, *_BATCH])


def server_options(command: F) -> F:
    """Which API, and the token for it."""
    return _with(command, [server_option, token_option])


def _with(command: F, options: Sequence[Callable[[Any], Any]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def form_of(given: Given) -> dict[str, str]:
    """The form's fields. Raises InputRefusedError for what every server would refuse."""
    form = {name: _text(value) for name, value in given.items() if value is not None}
    Compression.parse({name: value for name, value in form.items() if name in OPTION_NAMES})
    ColumnOptions.parse({name: value for name, value in form.items() if name in columns.OPTION_NAMES})
    if "encoding" in form:
        form["encoding"] = encodings.known(form["encoding"])
    if "webhook_url" in form:
        _check_webhook(form["webhook_url"])
    return form


def _check_webhook(url: str) -> None:
    from imagebatch import webhook_address  # noqa: PLC0415
    from imagebatch.net.guard import WIDEST  # noqa: PLC0415

    webhook_address.check_url(url, WIDEST)  # which addresses are open is the server's to say


def _text(value: str | float | bool) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
