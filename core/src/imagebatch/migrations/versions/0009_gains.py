"""What an attempt gained last, and when: one that gains nothing for a day ends."""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    "ALTER TABLE processing_requests ADD COLUMN gained_images integer NOT NULL DEFAULT 0",
    "ALTER TABLE processing_requests ADD COLUMN gained_seconds double precision NOT NULL DEFAULT 0",
    "COMMENT ON COLUMN processing_requests.gained_images IS 'the most images that were done at once so far'",
    "COMMENT ON COLUMN processing_requests.gained_seconds IS 'after how many seconds at work they were'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
