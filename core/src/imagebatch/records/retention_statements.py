# ruff: noqa: S608 - statements are made of constants
"""The SQL of retention: which batches' files are due, claims of them, and sweeps for orphans.

Each condition of `_DUE` is that of an index (migration 0008), so that the first due row is found among a
million. The clock is Postgres's. A claim shuts out `reopen`, and `reopen` a claim: each changes the row only
where the other has not.
"""

from imagebatch.batch.retention import NEEDED_FOR_RETRY, Kind
from imagebatch.records.row_mapping import ROW

COLUMNS = {
    Kind.WORKING_FILES: "working_files_removed_at",
    Kind.OUTPUTS: "outputs_removed_at",
    Kind.IMAGES: "images_removed_at",
}
MAY_BE_REOPENED = " AND ".join(
    [*(f"{COLUMNS[kind]} IS NULL" for kind in NEEDED_FOR_RETRY), "collect_at IS NULL"]
)

_TABLE = "processing_requests"
_HERE = "store IN ('', $3)"
"""Whose files are on the store that $3 names, or on one that is not known."""

_OPEN = "finished_at IS NOT NULL AND deleted_at IS NULL"
_EPOCH = "date_part('epoch', finished_at AT TIME ZONE 'UTC')"


def _own(kind: Kind) -> str:
    return f"spec #>> '{{keepDays,{kind.value}}}'"


def _by_default(kind: Kind) -> str:
    """Batches whose days for a kind are the default's."""
    if kind is Kind.UNNAMED_IMAGES:
        return f"{_OPEN} AND has_unnamed_images AND images_removed_at IS NULL"
    return f"{_OPEN} AND {COLUMNS[kind]} IS NULL AND {_own(kind)} IS NULL"


def _by_own(kind: Kind) -> str:
    """Batches with days of their own for a kind, that are not for ever."""
    return f"{_OPEN} AND {COLUMNS[kind]} IS NULL AND ({_own(kind)})::float8 > 0"


def _own_end(kind: Kind) -> str:
    return f"({_EPOCH} + 86400 * ({_own(kind)})::float8)"


_IS_OVER = "finished_at <= now() - make_interval(secs => 86400 * $2::float8)"
_IS_OWN_OVER = "{end} <= date_part('epoch', now() AT TIME ZONE 'UTC')"

DUE_BY_DEFAULT = {kind: (f"{_by_default(kind)} AND {_IS_OVER}", "finished_at") for kind in Kind}
DUE_BY_OWN = {
    kind: (
        f"{_by_own(kind)} AND {_IS_OWN_OVER.format(end=_own_end(kind))} AND $2::float8 >= 0",
        _own_end(kind),
    )
    for kind in Kind
    if kind is not Kind.UNNAMED_IMAGES
}
"""What is due, and in which order. $2 are the default's days, which the second only has to have a type."""


def select_due(due: tuple[str, str]) -> str:
    """Without a claim, a page of it: behind the request whose end and id are $4 and $5."""
    condition, _ = due
    return f"""
SELECT {ROW} FROM {_TABLE} WHERE {condition} AND {_HERE} AND (finished_at, request_id) > ($4, $5)
ORDER BY finished_at, request_id LIMIT $1
"""


def claim_due(kind: Kind, due: tuple[str, str]) -> str:
    """The kind is gone for everybody from now on, and whoever claims it removes it within $1 seconds."""
    condition, order = due
    return f"""
UPDATE {_TABLE} SET {_MARKS[kind]}collect_at = now() + make_interval(secs => $1)
WHERE request_id = (
    SELECT request_id FROM {_TABLE} WHERE {condition} AND {_HERE} AND collect_at IS NULL
    ORDER BY {order} LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {ROW}
"""


_MARKS = {
    Kind.WORKING_FILES: "working_files_removed_at = now(), ",
    Kind.OUTPUTS: "outputs_removed_at = now(), output_key = NULL, errors_key = NULL, report_key = NULL, ",
    Kind.IMAGES: "images_removed_at = now(), ",
    Kind.UNNAMED_IMAGES: "",
}
CLAIM_LEFT = f"""
UPDATE {_TABLE} SET collect_at = now() + make_interval(secs => $1)
WHERE request_id = (
    SELECT request_id FROM {_TABLE} WHERE collect_at <= now() AND deleted_at IS NULL AND store IN ('', $2)
    ORDER BY collect_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {ROW}
"""
SELECT_LEFT = f"""
SELECT {ROW} FROM {_TABLE} WHERE collect_at <= now() AND deleted_at IS NULL AND store IN ('', $1)
ORDER BY collect_at
"""
EXTEND = f"""
UPDATE {_TABLE} SET collect_at = now() + make_interval(secs => $3)
WHERE request_id = $1 AND deleted_at IS NULL AND collect_at = $2
RETURNING collect_at
"""
FINISH_CLAIM = f"""
UPDATE {_TABLE} SET collect_at = NULL, has_unnamed_images = has_unnamed_images AND NOT $3
WHERE request_id = $1 AND collect_at = $2
"""
RELEASE = f"UPDATE {_TABLE} SET collect_at = now() WHERE collect_at > now()"

_DEFAULT_ENDS = ",\n    ".join(
    f"""CASE WHEN ${number}::float8 > 0 THEN
        (SELECT min(finished_at) FROM {_TABLE} WHERE {_by_default(kind)}
            AND store IN ('', $5))
        + make_interval(secs => 86400 * ${number}::float8) END"""
    for number, kind in enumerate(Kind, 1)
)
_OWN_ENDS = ",\n    ".join(
    f"to_timestamp((SELECT min({_own_end(kind)}) FROM {_TABLE} WHERE {_by_own(kind)} AND store IN ('', $5)))"
    for kind in DUE_BY_OWN
)
NEXT = f"""
SELECT extract(epoch FROM least(
    (SELECT min(collect_at) FROM {_TABLE} WHERE collect_at IS NOT NULL AND deleted_at IS NULL
        AND store IN ('', $5)),
    {_DEFAULT_ENDS},
    {_OWN_ENDS},
    CASE WHEN $4::float8 > 0 THEN
        (SELECT greatest(swept_at + interval '1 day', held_until) FROM object_sweeps) END
) - now())::float8
"""
"""When there is something to do. Parameters: the defaults' days, in the order of `Kind`; the store."""

KEEP_DAYS = f"""
UPDATE {_TABLE} SET spec = jsonb_set(spec, '{{keepDays}}', $2) WHERE request_id = $1 AND deleted_at IS NULL
RETURNING {ROW}
"""

# -- sweeps ----------------------------------------------------------------------------------------------

_SWEEP = f"""database, number, knows_since, held_until,
    EXISTS (SELECT 1 FROM {_TABLE}) AS has_rows"""
SERVER = """
SELECT system_identifier || '/' || timeline_id FROM pg_control_system(), pg_control_checkpoint()
"""
"""Another one after a restore from a base backup, or a dump into another server."""

SELECT_SWEEP = f"SELECT {_SWEEP} FROM object_sweeps"
CLAIM_SWEEP = f"""
UPDATE object_sweeps SET held_until = now() + make_interval(secs => $1)
WHERE held_until <= now() AND swept_at <= now() - make_interval(secs => $2)
RETURNING {_SWEEP}
"""
EXTEND_SWEEP = """
UPDATE object_sweeps SET held_until = now() + make_interval(secs => $2) WHERE held_until = $1
RETURNING held_until
"""
FINISH_SWEEP = """
UPDATE object_sweeps SET swept_at = now(), number = number + $2, held_until = now() WHERE held_until = $1
RETURNING number
"""
RELEASE_SWEEP = "UPDATE object_sweeps SET held_until = now() WHERE held_until > now()"
KNOWN_IDS = f"SELECT request_id FROM {_TABLE} WHERE request_id = ANY($1)"
_FOLDER = "left(encode(sha256(('images:' || request_id)::bytea), 'hex'), 32)"
KNOWN_FOLDERS = f"SELECT {_FOLDER} FROM {_TABLE} WHERE {_FOLDER} = ANY($1)"
