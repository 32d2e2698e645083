"""How long a request has been suspended: its deadline does not count that time."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE processing_requests ADD COLUMN suspended_at timestamptz",
    "ALTER TABLE processing_requests ADD COLUMN suspended_seconds double precision NOT NULL DEFAULT 0",
    "COMMENT ON COLUMN processing_requests.suspended_at IS 'since when it is suspended, if it is'",
    "COMMENT ON COLUMN processing_requests.suspended_seconds IS 'of earlier suspensions of this attempt'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
