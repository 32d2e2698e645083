"""Which ImageBatch object a request is of, so that one that was lost can be made again."""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    "ALTER TABLE processing_requests ADD COLUMN object text NOT NULL DEFAULT ''",
    "COMMENT ON COLUMN processing_requests.object IS 'namespace/name of its ImageBatch; empty without one'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
