"""Which upload's input a request has, why it waits, and how many images were not tried."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    "ALTER TABLE processing_requests ADD COLUMN upload text NOT NULL DEFAULT ''",
    "ALTER TABLE processing_requests ADD COLUMN images_skipped bigint NOT NULL DEFAULT 0",
    "ALTER TABLE processing_requests ADD COLUMN reason text NOT NULL DEFAULT ''",
    "ALTER TABLE processing_requests ADD COLUMN waiting_message text NOT NULL DEFAULT ''",
    "COMMENT ON COLUMN processing_requests.upload IS 'in the names of its input and its plan on S3'",
    "COMMENT ON COLUMN processing_requests.images_skipped IS 'not tried: cancelled, or stopped early'",
    "COMMENT ON COLUMN processing_requests.reason IS 'why it waits, or why its end is not complete'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
