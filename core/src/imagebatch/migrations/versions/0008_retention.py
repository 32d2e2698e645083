"""What of a batch was removed when its days were over, and what is known of the sweeps for orphans."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLE = "processing_requests"
NAMES = {"working_files": "workingFiles", "outputs": "outputs", "images": "images"}
OPEN = "finished_at IS NOT NULL AND deleted_at IS NULL"
EPOCH = "date_part('epoch', finished_at AT TIME ZONE 'UTC')"


def _kind(kind: str, name: str) -> tuple[str, ...]:
    """When the kind was removed, and what finds the batches of which it is due: by default, by own days."""
    own, column = f"spec #>> '{{keepDays,{name}}}'", f"{kind}_removed_at"
    by_default = f"{OPEN} AND {column} IS NULL AND {own} IS NULL"
    by_own = f"{OPEN} AND {column} IS NULL AND ({own})::float8 > 0"
    end = f"({EPOCH} + 86400 * ({own})::float8)"
    return (
        f"ALTER TABLE {TABLE} ADD COLUMN {column} timestamptz",
        f"COMMENT ON COLUMN {TABLE}.{column} IS 'since when they are gone for its readers'",
        f"CREATE INDEX {TABLE}_{kind}_due ON {TABLE} (finished_at) WHERE {by_default}",
        f"CREATE INDEX {TABLE}_{kind}_own_due ON {TABLE} ({end}) WHERE {by_own}",
    )


def _rest() -> tuple[str, ...]:
    unnamed = "images_skipped > 0 OR errors_by_code ? 'shard_failed' OR (output_key IS NULL AND attempt = 1)"
    is_due = f"{OPEN} AND has_unnamed_images AND images_removed_at IS NULL"
    folder = "left(encode(sha256(('images:' || request_id)::bytea), 'hex'), 32)"
    return (
        f"ALTER TABLE {TABLE} ADD COLUMN collect_at timestamptz",
        f"COMMENT ON COLUMN {TABLE}.collect_at IS 'when a program may go on removing; null: nothing is left'",
        f"CREATE INDEX {TABLE}_collected ON {TABLE} (collect_at) WHERE collect_at IS NOT NULL",
        f"ALTER TABLE {TABLE} ADD COLUMN has_unnamed_images boolean NOT NULL DEFAULT false",
        f"COMMENT ON COLUMN {TABLE}.has_unnamed_images IS 'whether images may be there that no CSV names'",
        f"UPDATE {TABLE} SET has_unnamed_images = true WHERE {OPEN} AND ({unnamed})",  # noqa: S608 - of constants
        f"CREATE INDEX {TABLE}_unnamed_images_due ON {TABLE} (finished_at) WHERE {is_due}",
        f"CREATE INDEX {TABLE}_image_folder ON {TABLE} (({folder}))",
    )


SWEEPS = (
    """
    CREATE TABLE object_sweeps (
        is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        database    text NOT NULL DEFAULT gen_random_uuid()::text,
        knows_since timestamptz NOT NULL,
        number      bigint NOT NULL DEFAULT 0,
        swept_at    timestamptz NOT NULL DEFAULT now(),
        held_until  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON TABLE object_sweeps IS 'one row: what tells this database from another, and its sweeps'",
    "COMMENT ON COLUMN object_sweeps.knows_since IS 'no object from before is judged by the rows'",
    f"INSERT INTO object_sweeps (knows_since) SELECT least(now(), min(created_at)) FROM {TABLE}",  # noqa: S608
)


def upgrade() -> None:
    of_kinds = (statement for item in NAMES.items() for statement in _kind(*item))
    for statement in (*of_kinds, *_rest(), *SWEEPS):
        op.execute(statement)
